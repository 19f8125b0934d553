"""``python answering.py NAME JOB``: answers questions greedily as one of the contestants does.

An order is ``{"batch_size": 8, "questions": [0, 3]}``, the answer ``{"seconds": 1.5, "texts": ["...", "..."]}``.
Everything a contestant needs each time (encoding, padding, decoding) is timed; loading is not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from contestant import serve

Answer = Callable[[Sequence[int], int | None], list[str]]


def one_at_a_time(job: dict[str, Any]) -> Answer:
    """The loop of a course notebook: transformers' ``generate``, a question after the other."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"])).to(job["device"])

    def answer(questions: Sequence[int], _: int | None) -> list[str]:
        texts = []
        for number in questions:
            inputs = tokenizer(job["prompts"][number], add_special_tokens=False, return_tensors="pt").to(model.device)
            with torch.no_grad():
                ids = model.generate(**inputs, max_new_tokens=job["max_new_tokens"], do_sample=False)
            texts.append(tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
        return texts

    return answer


def lm_eval(job: dict[str, Any]) -> Answer:
    """lm-evaluation-harness's ``hf`` model, asked as its tasks ask it."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    common = {"device": job["device"], "dtype": job["dtype"], "add_bos_token": False, "max_length": job["max_length"]}
    first = HFLM(pretrained=job["model"], **common)
    models = {1: first}

    def answer(questions: Sequence[int], batch_size: int | str | None) -> list[str]:
        size = batch_size or 1
        if size not in models:  # the same weights
            models[size] = HFLM(pretrained=first.model, tokenizer=first.tokenizer, batch_size=size, **common)
        asked = {"until": [], "max_gen_toks": job["max_new_tokens"], "do_sample": False}
        requests = [
            Instance("generate_until", {}, (job["prompts"][number], asked), place)
            for place, number in enumerate(questions)
        ]
        return models[size].generate_until(requests, disable_tqdm=True)

    return answer


def rl_harness(job: dict[str, Any]) -> Answer:
    """This project's engine, as an evaluation calls it."""
    from harness.models import load_policy, resolve_model
    from harness.models.engines import open_engine
    from harness.store.records import SamplingParams
    from harness.tasks import Question

    source, place = resolve_model(job["model"]), {"device": job["device"], "dtype": job["dtype"]}
    engine = open_engine("transformers", {}, lambda: load_policy(source, **place), source, **place)
    decoding = SamplingParams(**job["decoding"])
    every = [Question(str(number), "", "", "test", prompt=tuple(chat)) for number, chat in enumerate(job["chats"])]

    def answer(questions: Sequence[int], _: int | None) -> list[str]:
        batches = engine.answer([every[number] for number in questions], decoding)
        texts = {each.question_id: each.completion for batch in batches for each in batch}
        return [texts[str(number)] for number in questions]

    return answer


CONTESTANTS = {"one at a time": one_at_a_time, "lm-eval": lm_eval, "rl-harness": rl_harness}


def main() -> None:
    name, file = sys.argv[1:]
    job = json.loads(Path(file).read_text(encoding="utf-8"))

    def make() -> Callable[..., Any]:
        answer = CONTESTANTS[name](job)

        def carry_out(questions: Sequence[int], batch_size: int | str | None = None) -> dict[str, Any]:
            import torch

            started = time.perf_counter()
            texts = answer(questions, batch_size)
            return {"seconds": time.perf_counter() - started, "texts": texts, "threads": torch.get_num_threads()}

        return carry_out

    serve(make)


if __name__ == "__main__":
    main()
