"""The official VQA evaluation's rules once more, slow and plain, from reading `vqaEval.py`; independent of ours."""

from __future__ import annotations

from itertools import pairwise

# "without=with" for every entry of the official table, upper case and useless ones included.
CONTRACTIONS = dict(
    pair.split("=")
    for pair in """
    aint=ain't arent=aren't cant=can't couldve=could've couldnt=couldn't couldn'tve=couldn't've couldnt've=couldn't've
    didnt=didn't doesnt=doesn't dont=don't hadnt=hadn't hadnt've=hadn't've hadn'tve=hadn't've hasnt=hasn't
    havent=haven't hed=he'd hed've=he'd've he'dve=he'd've hes=he's howd=how'd howll=how'll hows=how's Id've=I'd've
    I'dve=I'd've Im=I'm Ive=I've isnt=isn't itd=it'd itd've=it'd've it'dve=it'd've itll=it'll let's=let's maam=ma'am
    mightnt=mightn't mightnt've=mightn't've mightn'tve=mightn't've mightve=might've mustnt=mustn't mustve=must've
    neednt=needn't notve=not've oclock=o'clock oughtnt=oughtn't ow's'at='ow's'at 'ows'at='ow's'at 'ow'sat='ow's'at
    shant=shan't shed've=she'd've she'dve=she'd've she's=she's shouldve=should've shouldnt=shouldn't
    shouldnt've=shouldn't've shouldn'tve=shouldn't've somebody'd=somebodyd somebodyd've=somebody'd've
    somebody'dve=somebody'd've somebodyll=somebody'll somebodys=somebody's someoned=someone'd someoned've=someone'd've
    someone'dve=someone'd've someonell=someone'll someones=someone's somethingd=something'd
    somethingd've=something'd've something'dve=something'd've somethingll=something'll thats=that's thered=there'd
    thered've=there'd've there'dve=there'd've therere=there're theres=there's theyd=they'd theyd've=they'd've
    they'dve=they'd've theyll=they'll theyre=they're theyve=they've twas='twas wasnt=wasn't wed've=we'd've
    we'dve=we'd've weve=we've werent=weren't whatll=what'll whatre=what're whats=what's whatve=what've whens=when's
    whered=where'd wheres=where's whereve=where've whod=who'd whod've=who'd've who'dve=who'd've wholl=who'll
    whos=who's whove=who've whyll=why'll whyre=why're whys=why's wont=won't wouldve=would've wouldnt=wouldn't
    wouldnt've=wouldn't've wouldn'tve=wouldn't've yall=y'all yall'll=y'all'll y'allll=y'all'll yall'd've=y'all'd've
    y'alld've=y'all'd've y'all'dve=y'all'd've youd=you'd youd've=you'd've you'dve=you'd've youll=you'll youre=you're
    youve=you've
    """.split()  # noqa: SIM905
)
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
MARKS = [";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+", "\\", "_", "-", ">", "<", "@", "`", ",", "?", "!"]


def clean(text: str) -> str:
    for white in ("\n", "\t"):
        text = text.replace(white, " ")
    return text.strip()


def process_punctuation(text: str) -> str:
    number_with_comma = any(
        text[i] == "," and text[i - 1].isdecimal() and text[i + 1].isdecimal() for i in range(1, len(text) - 1)
    )
    out = text
    for mark in MARKS:
        beside_space = False
        for left, right in pairwise(text):
            if (left, right) in ((mark, " "), (" ", mark)):
                beside_space = True
        out = "".join(("" if beside_space or number_with_comma else " ") if c == mark else c for c in out)
    kept, removed = [], 0
    for i, character in enumerate(out):
        digit_follows = i + 1 < len(out) and out[i + 1].isdecimal()
        if character == "." and not digit_follows and removed < 32:
            removed += 1
        else:
            kept.append(character)
    return "".join(kept)


def process_digits_and_articles(text: str) -> str:
    words = []
    for word in text.lower().split():
        if word == "none":
            word = "0"  # noqa: PLW2901
        if word in NUMBERS:
            word = str(NUMBERS.index(word))  # noqa: PLW2901
        if word in ("a", "an", "the"):
            continue
        words.append(CONTRACTIONS.get(word, word))
    return " ".join(words)


def normalize(text: str) -> str:
    return process_digits_and_articles(process_punctuation(clean(text)))


def accuracy(prediction: str, answers: list[str]) -> float:
    annotators = [{"answer_id": i, "answer": clean(answer)} for i, answer in enumerate(answers)]
    result = clean(prediction)
    if len({annotator["answer"] for annotator in annotators}) > 1:
        for annotator in annotators:
            annotator["answer"] = process_digits_and_articles(process_punctuation(annotator["answer"]))
        result = process_digits_and_articles(process_punctuation(result))
    shares = []
    for left_out in annotators:
        others = [annotator for annotator in annotators if annotator != left_out]
        matching = [annotator for annotator in others if annotator["answer"] == result]
        shares.append(min(1, len(matching) / 3))
    return sum(shares) / len(shares)


def evaluate(annotations: list[dict], results: list[dict], places: int = 2) -> dict[str, object]:
    """Percentages over all questions and per type, rounded as the official evaluation rounds them by default."""
    answer_to = {result["question_id"]: result["answer"] for result in results}
    overall, of_question_type, of_answer_type = [], {}, {}
    for annotation in annotations:
        given = [answer["answer"] for answer in annotation["answers"]]
        earned = accuracy(answer_to[annotation["question_id"]], given)
        overall.append(earned)
        for table, key in ((of_question_type, "question_type"), (of_answer_type, "answer_type")):
            if annotation[key] not in table:
                table[annotation[key]] = []
            table[annotation[key]].append(earned)

    def percent(shares: list[float]) -> float:
        return round(100 * float(sum(shares)) / len(shares), places)

    return {
        "overall": percent(overall),
        "perQuestionType": {name: percent(shares) for name, shares in of_question_type.items()},
        "perAnswerType": {name: percent(shares) for name, shares in of_answer_type.items()},
    }
