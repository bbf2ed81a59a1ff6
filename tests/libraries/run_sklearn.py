"""scikit-learn around this package: vectors as features, a tokenizer as analyzer, a model as estimator."""

from __future__ import annotations

import pickle
from typing import Any

import checks
import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import formers

TEXTS = ["good", "very good", "a fine film", "bad", "very bad", "a poor film"] * 2
LABELS = np.array([1, 1, 1, 0, 0, 0] * 2)


class Vectors(TransformerMixin, BaseEstimator):
    """Texts to vectors."""

    def __init__(self, name: str = "", layer: int = -1) -> None:
        self.name, self.layer = name, layer

    def fit(self, X: Any, y: Any = None) -> Vectors:
        self.tokenizer_ = formers.AutoTokenizer.from_pretrained(self.name)
        self.model_ = formers.AutoModel.from_pretrained(self.name)
        return self

    def transform(self, X: Any) -> Any:
        with torch.inference_mode():
            out = self.model_(**self.tokenizer_(list(X), padding=True, return_tensors="pt"), output_hidden_states=True)
        return out.hidden_states[self.layer][:, 0].numpy()


class Classifier(ClassifierMixin, BaseEstimator):
    """A model that is trained."""

    def __init__(self, name: str = "", model: Any = None, steps: int = 3) -> None:
        self.name, self.model, self.steps = name, model, steps

    def fit(self, X: Any, y: Any) -> Classifier:
        self.classes_ = np.unique(y)
        self.tokenizer_ = formers.AutoTokenizer.from_pretrained(self.name)
        self.model_ = formers.AutoModelForSequenceClassification.from_pretrained(self.name, num_labels=2).train()
        optimizer = torch.optim.AdamW(self.model_.parameters(), lr=1e-3)
        for _ in range(self.steps):
            inputs = self.tokenizer_(list(X), padding=True, return_tensors="pt")
            self.model_(**inputs, labels=torch.as_tensor(y)).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        self.model_.eval()
        return self

    def predict(self, X: Any) -> Any:
        with torch.inference_mode():
            logits = self.model_(**self.tokenizer_(list(X), padding=True, return_tensors="pt")).logits
        return self.classes_[logits.argmax(-1).numpy()]


@checks.check("vectors in a pipeline with GridSearchCV")
def features() -> None:
    steps = make_pipeline(Vectors(str(checks.minilm())), LogisticRegression())
    search = GridSearchCV(steps, {"vectors__layer": [-1, 2]}, cv=2).fit(TEXTS, LABELS)
    assert search.best_score_ > 0.8


@checks.check("an estimator that holds a model: fit, clone, pickle")
def estimator() -> None:
    fitted = Classifier(str(checks.minilm())).fit(TEXTS, LABELS)
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.predict(TEXTS) == fitted.predict(TEXTS)).all()
    assert not hasattr(clone(fitted), "model_")
    held = clone(Classifier(model=fitted.model_))  # a parameter that is a model is copied
    checks.same(held.model.classifier.weight, fitted.model_.classifier.weight)


@checks.check("a tokenizer as the analyzer of a TfidfVectorizer")
def analyzer() -> None:
    tokenizer = formers.AutoTokenizer.from_pretrained(checks.minilm())
    table = TfidfVectorizer(tokenizer=tokenizer.tokenize, token_pattern=None).fit_transform(TEXTS)
    assert table.shape[0] == len(TEXTS)


if __name__ == "__main__":
    checks.run()
