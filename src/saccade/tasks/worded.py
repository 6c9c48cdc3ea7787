"""What the tasks share whose texts are told to the model as words of one vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

from saccade.errors import DataError
from saccade.tasks.base import AnyExample, AnyPrediction, AnyRecord, Task
from saccade.text import Vocabulary

TOKENIZER = "tokenizer.json"


class WordedTask(Task[AnyRecord, AnyExample, AnyPrediction]):
    """A task that knows the words of its training texts; the vocabulary is kept with the run."""

    vocabulary: Vocabulary

    def files(self) -> dict[str, str]:
        """The words."""
        return {TOKENIZER: self.vocabulary.to_json()}

    def content(self) -> dict[str, Sequence[str]]:
        """The words, in the order of their ids."""
        return {"words": self.vocabulary.known_words()}

    def entries(self) -> dict[str, Sequence[str]]:
        """The words, those of the special symbols too."""
        return {"num_words": self.vocabulary.listed()}

    def check(self, records: Sequence[AnyRecord]) -> None:
        """Refuse, with DataError, a text without words."""
        what, lengths = self.noun.removesuffix("s"), self.lengths(records)
        wordless = next((each for each, length in zip(records, lengths, strict=True) if not length), None)
        if wordless is not None:
            raise DataError(
                f"{what} {wordless.id!r} of {wordless.image}: expected a {what} with at least one word, got "
                f"{wordless.text!r}"
            )

    def lengths(self, records: Sequence[AnyRecord]) -> list[int]:
        """How many words each record's text has."""
        return self.vocabulary.lengths([record.text for record in records])

    def check_text(self, text: str) -> None:
        """Refuse, with DataError, a text without words."""
        if not self.vocabulary.words(text):
            raise DataError(f"expected a {self.noun.removesuffix('s')} with at least one word, got {text!r}")

    def unread(self, text: str) -> list[str]:
        """The words of a text that were never seen in training."""
        return self.vocabulary.unknown(text)
