"""This package under the name `transformers`. Each test is a process of its own: the name holds for all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, fails: bool = False, cwd: Path | None = None) -> str:
    source = {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **source})
    assert (done.returncode != 0) is fails, done.stderr
    return done.stderr if fails else done.stdout


def code(text: str, fails: bool = False) -> str:
    return run("-c", f"import formers; formers.as_transformers()\n{text}", fails=fails)


def test_names_and_paths_are_ours() -> None:
    printed = code(
        "import transformers, formers.outputs\n"
        "from transformers import AutoModel, is_torch_available\n"
        "from transformers.models.bert.modeling_bert import BertModel\n"
        "from transformers.utils import logging\n"
        "from transformers.modeling_outputs import ModelOutput\n"
        "import transformers.models.auto.modeling_auto as auto\n"
        "print(transformers.__version__, AutoModel is formers.AutoModel, BertModel is formers.BertModel,\n"
        "      logging is formers.logging, ModelOutput is formers.outputs.ModelOutput,\n"
        "      'AutoModel' in dir(transformers))"
    )
    assert printed.split() == ["5.23.0", *["True"] * 5]


def test_the_real_one_is_not_loaded_and_is_not_given_unasked() -> None:
    assert code("import sys, transformers; print(any('site-packages/transformers' in str(getattr(m, '__file__', '')) "
                "for m in sys.modules.values()))").strip() == "False"  # fmt: skip
    real = "import formers, importlib.util as u; print(u.find_spec('transformers').origin)"
    assert "site-packages" in run("-c", real)


def test_names_that_are_not_here_say_so() -> None:
    said = code("from transformers import NoSuchModel", fails=True)
    assert "MissingNameError: formers stands for transformers here: formers has no NoSuchModel" in said
    said = code("import transformers.models.no_such.modeling_no_such", fails=True)
    assert "formers stands for transformers here: formers has no model family 'no_such'" in said
    printed = code(
        "import transformers\n"
        "try:\n    from transformers import DetrModel\nexcept ImportError: print('as in a release without it')\n"
        "print(hasattr(transformers, 'DetrModel'))"
    )
    assert printed.splitlines() == ["as in a release without it", "False"]


def test_stand_ins_can_be_imported_and_not_used() -> None:
    printed = code(  # names of its own, since those of the table come to be here
        "from abc import ABC\n"
        "formers.as_transformers.STAND_INS |= {'': ('Absent', 'AbsentConfig'), 'trainer': ('Absent',)}\n"
        "from transformers import Absent, AbsentConfig, BertConfig\n"
        "from transformers.trainer import Absent as same\n"
        "class Mine(Absent, ABC): pass\n"
        "print(isinstance(BertConfig(), AbsentConfig), issubclass(Mine, Absent))\n"
        "for use in (lambda: Mine(1), lambda: AbsentConfig.from_pretrained('x')):\n"
        "    try: use()\n"
        "    except Exception as error: print(type(error).__name__, error)"
    )
    lines = printed.splitlines()
    assert lines[0] == "False True"
    assert lines[1].startswith("MissingNameError") and "has no Absent, which Mine is built on" in lines[1]
    assert lines[2].startswith("MissingAttributeError") and "has no AbsentConfig" in lines[2]


def test_it_comes_first() -> None:
    said = run("-c", "import sys, types; sys.modules['transformers'] = types.ModuleType('transformers')\n"
               "import formers; formers.as_transformers()", fails=True)  # fmt: skip
    assert "transformers is imported already" in said
    assert code("formers.as_transformers(); print('twice')").strip() == "twice"


def test_levels_set_for_transformers_hold() -> None:
    printed = code(
        "import logging; logging.getLogger('transformers').setLevel(logging.ERROR)\n"
        "from formers.logging import logger; print(logger.isEnabledFor(logging.WARNING))"
    )
    assert printed.strip() == "False"


def test_scripts_and_modules_run(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("WORD = 'beside'")
    script = "import sys\nfrom beside import WORD\nfrom transformers import BertModel\n"
    script += "if __name__ == '__main__': print(WORD, BertModel.__module__, *sys.argv[1:])\n"
    (tmp_path / "script.py").write_text(script)
    expected = "beside formers.models.bert --lr 1\n"
    assert run("-m", "formers.as_transformers", str(tmp_path / "script.py"), "--lr", "1") == expected
    assert run("-m", "formers.as_transformers", "-m", "script", "--lr", "1", cwd=tmp_path) == expected
    assert "Usage" in run("-m", "formers.as_transformers", fails=True)
    assert "There is no script 'no.py'" in run("-m", "formers.as_transformers", "no.py", fails=True)


def test_sentence_transformers_encodes_as_on_transformers(minilm: Path) -> None:
    pytest.importorskip("sentence_transformers")
    folder = Path(__file__).parent / "libraries"
    printed = run(str(folder / "run_sentence_transformers.py"))
    assert "ok\tencode" in printed and "FAILED" not in printed
