"""Answering questions about images: questions to batches, batches to a loss, logits to answers, answers to metrics.

Blind to which model answers: anything that maps (Regions, Words) to Answers will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from saccade.data.records import Caption, Corpus, ExportsAnswers, Question, images_of
from saccade.data.split import count_questions
from saccade.data.visual_genome import genome_questions
from saccade.errors import DataError, RecipeError, first
from saccade.metrics.names import metric_keys
from saccade.metrics.vqa import answer_list, best_choice, preprocess_answer
from saccade.progress import Report
from saccade.tasks.answering.config import AnsweringConfig, AnsweringOptions
from saccade.tasks.answering.reply import AnswerReply
from saccade.tasks.answering.scoring import SCORING, merged_answers
from saccade.tasks.answering.targets import Targets
from saccade.tasks.attending import Attended, attend_by_text
from saccade.tasks.base import Gather, Reader, Task
from saccade.tasks.glove import check_glove, start_from_glove
from saccade.tasks.intervening import left_regions, left_texts
from saccade.tasks.pointing import Measured, attention_metrics, measure_attention
from saccade.tasks.reading import read_regions
from saccade.tasks.reply import OpenedImage
from saccade.text import Vocabulary, texts_from_json, texts_to_json
from saccade.types import NOTHING, Answers, Regions, Without, Words

TOKENIZER, ANSWERS = "tokenizer.json", "answers.json"
TOP = 5  # answers to a question, unless asked for more


@dataclass(frozen=True, eq=False)
class QuestionBatch:
    """Questions ready for a model; `targets` are class ids [B] when hard, scores [B, C] otherwise."""

    regions: Regions
    words: Words
    targets: Tensor
    questions: tuple[Question, ...]

    def to(self, device: torch.device | str) -> QuestionBatch:
        """The same batch on another device."""
        return QuestionBatch(self.regions.to(device), self.words.to(device), self.targets.to(device), self.questions)


@dataclass(frozen=True)
class AnswerPrediction:
    """What a model answered to a question, what that earned, and where it looked (per step; empty without boxes).

    ``accuracy`` is None for a question without annotators.
    """

    question: Question
    answers: tuple[tuple[str, float], ...]
    accuracy: float | None
    attention: tuple[Measured, ...] = field(default=())

    def said(self) -> dict[str, Any]:
        """The most probable answer, and further ones where more than one was asked for."""
        (best, *others) = [{"answer": answer, "probability": round(p, 6)} for answer, p in self.answers]
        return {**best, "alternatives": others} if others else best

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for predictions.jsonl."""
        return {
            "id": self.question.id,
            "image": self.question.image,
            "question": self.question.text,
            "type": self.question.kind,
            **self.said(),
            "answers": list(self.question.answers),
            "accuracy": self.accuracy,
        }


class AnsweringTask(Task[Question, Question, AnswerPrediction]):
    """Classification over the answers of the training split; words and answers are kept with the run."""

    Config, Record, Output = AnsweringConfig, Question, Answers
    noun, text, metric = Question.noun, "question", "accuracy"
    columns = ("answer", "probability", "alternatives")
    usage = "saccade ask, or Predictor.ask"

    def __init__(self, vocabulary: Vocabulary, answers: tuple[str, ...], config: AnsweringConfig) -> None:
        self.vocabulary, self.answers, self.config = vocabulary, answers, config
        self._scoring = SCORING[config.scoring]
        self._targets = Targets(answers, self._scoring, config.targets)

    @classmethod
    def build(cls, records: Sequence[Question], config: AnsweringConfig) -> AnsweringTask:
        """The task whose words and answers are those of the training questions given.

        A question counts for one answer: the corpus's own label, or the one that most annotators gave; ties go to the
        one given first. Raises DataError when no answer is frequent enough.
        """
        texts = (question.text for question in records)
        vocabulary = Vocabulary.build(texts, tokeniser=config.words, min_count=config.min_word_count)
        labels = (SCORING[config.scoring].label(question, config.targets) for question in records)
        answers = answer_list(labels, most=config.answers, at_least=config.min_answer_count)
        if not answers:
            raise DataError(f"no answer is that of {config.min_answer_count} questions: lower --task.min-answer-count")
        return cls(vocabulary, answers, config)

    def files(self) -> dict[str, str]:
        """The words and the answers."""
        return {TOKENIZER: self.vocabulary.to_json(), ANSWERS: texts_to_json(self.answers)}

    @classmethod
    def from_files(cls, files: Mapping[str, str], config: AnsweringConfig) -> AnsweringTask:
        """The task of a run; raises RunError for a file that is not as expected."""
        return cls(Vocabulary.from_json(files[TOKENIZER]), texts_from_json(files[ANSWERS], ANSWERS), config)

    def content(self) -> dict[str, Sequence[str]]:
        """Words and answers, in the order of their numbers."""
        return {"words": self.vocabulary.known_words(), "answers": self.answers}

    def entries(self) -> dict[str, Sequence[str]]:
        """The words, those of the special symbols too, and the answers."""
        return {"num_words": self.vocabulary.listed(), "num_answers": self.answers}

    def remarks(self, records: Sequence[Question]) -> list[str]:
        """Which answers, written differently, count as the same, and which as none."""
        merged = merged_answers((answer for question in records for answer in question.answers), self._scoring)
        scoring, empty = f"--task.scoring {self.config.scoring}", merged.get("", ())
        same = [" = ".join(map(repr, spellings)) for name, spellings in merged.items() if name]
        said = [f"answers that {scoring} takes for the same: {first(same)}"] if same else []
        return [*said, *([f"answers of which {scoring} leaves nothing: {first(map(repr, empty))}"] if empty else [])]

    def further(self, recipe: Any, records: Sequence[Question], report: Report) -> Sequence[Question]:
        """Visual Genome's questions about the training images whose answers are classes, where they are asked for."""
        if not recipe.data.genome:
            return ()
        if not recipe.data.name.startswith("vqa"):
            raise RecipeError(f"data.genome: only VQA's images have questions of Visual Genome, not {recipe.data.name}")
        found = genome_questions(recipe.data.genome, images_of(records), self.answers, preprocess_answer)
        report.say(f"Visual Genome: {len(found):,} further training questions")
        return found

    def ready(self, model: nn.Module) -> None:
        """Refuse word vectors that are not there, or that the model does not take."""
        if self.config.glove:
            check_glove(model, self.config.glove)

    def prepare(self, model: nn.Module, records: Sequence[Question], report: Report) -> None:
        """Let the model's word embeddings start from the GloVe file that the recipe names, if it names one."""
        if self.config.glove:
            texts, weighted = [question.text for question in records], self.config.related == "tfidf"
            start_from_glove(model, self.config.glove, self.vocabulary, texts, report, weighted=weighted)

    def check(self, records: Sequence[Question]) -> None:
        """Refuse, with DataError, a question without words."""
        wordless = next((q for q in records if not self.vocabulary.words(q.text)), None)
        if wordless is not None:
            raise DataError(f"question {wordless.id!r} about {wordless.image}: expected words, got {wordless.text!r}")

    def trainable(self, records: Sequence[Question]) -> list[Question]:
        """The questions that a loss can learn from: with a softmax, those whose answer is a class."""
        return [question for question in records if self._targets.learnable(question)]

    @classmethod
    def counts(cls, records: Sequence[Question]) -> dict[str, int]:
        """How many there are of what."""
        return count_questions(records)

    def collate(self, records: Sequence[Question], read: Reader, *, grouped: bool) -> QuestionBatch:
        """The questions as a batch, their images' regions read from the store: once an image when grouped."""
        words = self.vocabulary.encode([q.text for q in records], max_words=self.config.max_words)
        return QuestionBatch(
            read_regions(records, read, grouped=grouped), words, self._targets(records), tuple(records)
        )

    def loss(self, model: Any, batch: QuestionBatch, gather: Gather) -> Float[Tensor, ""]:  # noqa: ARG002
        """The summed loss of the batch: cross-entropy, or binary cross-entropy over all classes."""
        logits = model(batch.regions, batch.words, attention=False).logits.float()
        if self._softmax:
            return F.cross_entropy(logits, batch.targets, reduction="sum")
        return F.binary_cross_entropy_with_logits(logits, batch.targets, reduction="sum")

    def examples(self, records: Sequence[Question]) -> list[Question]:
        """What is answered and scored: every question."""
        return list(records)

    def example(self, image: str, text: str) -> Question:
        """The question about the image, without answers."""
        return Question(id="", image=image, text=text, answers=())

    def check_text(self, text: str) -> None:
        """Refuse, with DataError, a question without words."""
        if not self.vocabulary.words(text):
            raise DataError(f"expected a question with at least one word, got {text!r}")

    def unread(self, text: str) -> list[str]:
        """The words of a question that were never seen in training."""
        return self.vocabulary.unknown(text)

    @classmethod
    def scorable(cls, records: Sequence[Question]) -> bool:
        """Whether the answers are known, so that there are metrics."""
        return bool(records) and all(question.answers for question in records)

    def stack(self, examples: Sequence[Question], read: Reader) -> QuestionBatch:
        """The questions as a batch to answer."""
        return self.collate(examples, read, grouped=True)

    def check_options(self, model: Any, options: AnsweringOptions) -> None:  # noqa: ARG002
        """Refuse to give no answer."""
        if options.top is not None and options.top < 1:
            raise RecipeError(f"top: expected at least 1 answer, got {options.top}")

    def predict(
        self,
        model: Any,
        batch: QuestionBatch,
        options: AnsweringOptions,
        *,
        attention: bool,
        generator: torch.Generator,  # noqa: ARG002
    ) -> list[AnswerPrediction]:
        """The answer to each question, and more where they are asked for; with `attention` where the model looked."""
        return self.decode(model(batch.regions, batch.words, attention=attention), batch, options.top or 1)

    def attend(self, model: Any, regions: Regions, sentences: Sequence[Caption]) -> list[Attended]:
        """Where the model looked when asked a phrase, or the sentence, instead of a question."""
        return attend_by_text(
            lambda of, words: model(of, words).attention,
            regions,
            sentences,
            self.vocabulary,
            max_words=self.config.max_words,
        )

    def decode(self, output: Answers, batch: QuestionBatch, top: int = 1) -> list[AnswerPrediction]:
        """Each question's most probable answers, the best of which is scored."""
        measured = measure_attention(output.attention, batch.regions, batch.questions)
        found = []
        for i, (question, answers) in enumerate(zip(batch.questions, self.top(output.logits, top), strict=True)):
            chosen = self._choose(question.choices, output.logits[i]) if question.choices else answers
            accuracy = self._scoring.accuracy(chosen[0][0], question.answers) if question.answers else None
            found.append(AnswerPrediction(question, chosen, accuracy, measured[i]))
        return found

    def top(self, logits: Float[Tensor, "texts answers"], count: int) -> list[tuple[tuple[str, float], ...]]:
        """The most probable answers of each row, best first."""
        probabilities = self._probabilities(logits)
        best = probabilities.topk(min(count, len(self.answers)), dim=1)
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [tuple((self.answers[i], p) for i, p in zip(*row, strict=True)) for row in rows]

    def metrics(
        self,
        predictions: Sequence[AnswerPrediction],
        data: Corpus | None = None,  # noqa: ARG002
    ) -> dict[str, float]:
        """Accuracy over all and by question type, the scoring's further metrics, the attention's where boxes are."""
        if not predictions:
            raise DataError("there is nothing to score: no predictions")
        accuracies = [(p.question.kind, p.accuracy) for p in predictions if p.accuracy is not None]
        if len(accuracies) < len(predictions):
            raise DataError(f"{len(predictions) - len(accuracies)} of {len(predictions)} questions have no answers")
        found = {"accuracy": _mean([accuracy for _, accuracy in accuracies])}
        steps = {each.step.replace(" ", "_") for p in predictions for each in p.attention}
        keys = metric_keys({p.question.kind for p in predictions} - {""}, reserved=steps)
        for kind, key in keys.items():
            found[f"accuracy_{key}"] = _mean([accuracy for k, accuracy in accuracies if k == kind])
        answers = [p.answers[0][0] for p in predictions]
        found |= self._scoring.further(answers, [p.question.answers for p in predictions])
        looked = [(p.question.kind, p.attention) for p in predictions if p.attention]
        found |= attention_metrics([steps for _, steps in looked])
        for kind, key in keys.items():
            of_kind = attention_metrics([steps for k, steps in looked if k == kind], steps=False)
            found |= {f"{name}_{key}": value for name, value in of_kind.items()}
        return found

    def metric_names(self, records: Sequence[Question], data: Corpus) -> list[str]:
        """Those of an answer to one question of each type."""
        of_each_kind = {question.kind: question for question in records}.values()
        answer = ((self.answers[0], 1.0),)
        return list(self.metrics([AnswerPrediction(question, answer, 0.0) for question in of_each_kind], data))

    def exports(self, predictions: Sequence[AnswerPrediction], data: Corpus) -> dict[str, Any]:
        """What the corpus's official server takes, where it has one."""
        if not isinstance(data, ExportsAnswers):
            return {}
        return {"results.json": data.results({p.question.id: p.answers[0][0] for p in predictions})}

    def reply(
        self,
        model: Any,
        regions: Regions,
        pictures: Sequence[OpenedImage],
        texts: Sequence[str] | None,
        options: AnsweringOptions,
        generator: torch.Generator,  # noqa: ARG002
        without: Sequence[Without] | None = None,
    ) -> list[AnswerReply]:
        """The answers to each question about the picture of its place; what is taken away may be all regions."""
        if texts is None:
            raise RecipeError("expected a question for each image, got none: this run answers questions")
        for text in texts:
            self.check_text(text)
        away = without or [NOTHING] * len(texts)
        left = left_texts(self.vocabulary, texts, away, max_words=self.config.max_words)
        output: Answers = model(left_regions(regions, away), left.words.to(regions.mask.device))
        mask = regions.per_text(regions.mask)
        best = self.top(output.logits, TOP if options.top is None else options.top)
        return [
            AnswerReply(
                picture.name,
                text,
                picture.image,
                best[i],
                left.shown[i],
                left.unknown[i],
                tuple(left.map_of(each, i, {"regions": mask[i]}) for each in output.attention),
                regions.of_text(i).to("cpu"),
                away[i],
            )
            for i, (picture, text) in enumerate(zip(pictures, texts, strict=True))
        ]

    def _choose(self, choices: Sequence[str], logits: Float[Tensor, " answers"]) -> tuple[tuple[str, float], ...]:
        """The most probable of a question's choices; those that are no class have probability 0."""
        probabilities = self._probabilities(logits[None])[0].tolist()
        choice = best_choice(choices, self._targets.classes, probabilities, self._scoring.normal)
        number = self._targets.classes.get(choice, self._targets.classes.get(self._scoring.normal(choice)))
        return ((choice, 0.0 if number is None else probabilities[number]),)

    @property
    def _softmax(self) -> bool:
        return self.config.targets in ("hard", "annotators")

    def _probabilities(self, logits: Float[Tensor, "texts answers"]) -> Float[Tensor, "texts answers"]:
        return logits.float().softmax(1) if self._softmax else logits.float().sigmoid()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
