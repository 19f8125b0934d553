"""What is asked: where questions come from, how they are put, and the forms in which answers are written.

``arithmetic`` is generated from a seed, ``gsm8k`` is read from the Hub or from local files, and any other name is a
table: a file, a folder, or a dataset on the Hub (:mod:`harness.tasks.tables`). Every task gives the same thing: two
disjoint tuples of frozen ``Question`` in an order fixed by the task's seed, so that the first n questions are a random
sample whatever n is. Nothing here calls a reward function, or knows a model or a run.
"""

from harness.store.question import Message, Question, Questions
from harness.tasks.load import TaskSection, is_from_hub, kind_of, load_questions, reads_data

__all__ = ["Message", "Question", "Questions", "TaskSection", "is_from_hub", "kind_of", "load_questions", "reads_data"]
