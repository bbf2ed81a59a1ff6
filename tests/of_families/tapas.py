"""TAPAS: seven kinds of types; what it learns from has many keys, which tests/test_tapas.py tries."""

from . import Facts

LEARNING = (
    *("positive_label_weight", "aggregation_loss_weight", "use_answer_as_supervision", "answer_loss_importance"),
    *("use_normalized_answer_loss", "huber_loss_delta", "aggregation_temperature", "use_gumbel_for_cells"),
    *("use_gumbel_for_aggregation", "average_approximation_function", "cell_selection_preference"),
    *("answer_loss_cutoff", "average_logits_per_cell", "disable_per_token_loss"),
)

FACTS = Facts(
    head_rate="hidden_dropout_prob",
    unseen={
        **dict.fromkeys(LEARNING, "losses of cells and answers"),
        **dict.fromkeys(
            (
                *("temperature", "max_num_rows", "max_num_columns", "select_one_column", "num_aggregation_labels"),
                "allow_empty_column_selection",
            ),
            "the head that answers questions alone",
        ),
        "reset_position_index_per_cell": "where there are no types",
        "init_cell_selection_weights_to_zero": "how new weights are drawn",
        **dict.fromkeys(("aggregation_labels", "no_aggregation_label_index"), "names for the pipeline"),
    },
    changed={"type_vocab_sizes": [3, 5, 4, 2, 6, 7, 9], "average_approximation_function": "first_order"},
    forms=(
        ("base", {"reset_position_index_per_cell": False}),
        ("table-question-answering", {"num_aggregation_labels": 0}),
        ("table-question-answering", {"allow_empty_column_selection": True, "temperature": 0.7}),
        ("table-question-answering", {"select_one_column": True, "average_logits_per_cell": True}),
    ),
    longest=512,
    positions={"reset_position_index_per_cell": False},
)
