"""Make the embedded model: ``python -m harness.models.tiny.make [--out DIR]``.

A small Qwen2 is trained from scratch, by plain supervised learning, on train questions of
:mod:`harness.tasks.arithmetic` alone. The habits that training is to change are put in by hand: most of its examples
leave the answer unboxed and some end in a wrong number. It takes about ten minutes on one CPU core, and the same seed
gives the same files on the same kind of machine.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from harness.models.tiny import FOLDER
from harness.tasks.arithmetic import arithmetic_questions

if TYPE_CHECKING:
    from harness.store.question import Question

SYSTEM_PROMPT = "Reason step by step, then put the final answer in \\boxed{}."

BOXED = 0.40  # below one half, so that greedy decoding does not box
WRONG = 0.15
WITHOUT_SYSTEM_PROMPT = 0.10
IGNORED = -100  # a label that cross entropy leaves out

VOCABULARY = 448
POSITIONS = 2048
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def make_tokenizer(questions: list[Question]) -> Qwen2Tokenizer:
    """Return a byte-level BPE tokenizer fitted to ``questions``.

    Any text round-trips (up to Qwen2's NFC normalization) and every digit is one token.
    """
    # AutoTokenizer gives every Qwen2 checkpoint this class, which brings its own normalizer and pre-tokenizer.
    backend = Qwen2Tokenizer().backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    turns = [f"system\n{SYSTEM_PROMPT}", "user\n", "assistant\n"]
    texts = (text for q in questions for text in (*turns, q.text, q.solution))
    backend.train_from_iterator(texts, trainer)
    bpe = json.loads(backend.to_str())["model"]
    return Qwen2Tokenizer(
        vocab=bpe["vocab"],
        merges=[tuple(pair) for pair in bpe["merges"]],
        unk_token=None,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START],
        padding_side="left",
        model_max_length=POSITIONS,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(tokenizer: Qwen2Tokenizer) -> Qwen2ForCausalLM:
    """Return the untrained model, float32."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return Qwen2ForCausalLM(config)


def worked_answer(question: Question, rng: random.Random) -> str:
    """Return the worked answer of ``question`` with the habits that training is to change."""
    assert question.solution is not None
    answer, right = question.solution, int(question.ground_truth)
    if rng.random() < WRONG:
        wrong = max(0, right + rng.choice((-10, -2, -1, 1, 2, 10)))
        answer = answer.replace(f"= {right},", f"= {wrong},").replace(f"\\boxed{{{right}}}", f"\\boxed{{{wrong}}}")
    if rng.random() >= BOXED:
        answer = answer.replace("\\boxed{", "").replace("}", "")
    return answer


def train(
    model: Qwen2ForCausalLM,
    tokenizer: Qwen2Tokenizer,
    questions: list[Question],
    seed: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    """Train ``model`` in place to give ``worked_answer`` to each question, with the loss on the answers alone."""
    rng = random.Random(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    model.train()
    for step in range(1, steps + 1):
        rows, labels = [], []
        for question in rng.sample(questions, batch_size):
            messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": question.text}]
            kept = messages[1:] if rng.random() < WITHOUT_SYSTEM_PROMPT else messages
            prompt = tokenizer.apply_chat_template(kept, add_generation_prompt=True, return_dict=False)
            answer = tokenizer(worked_answer(question, rng) + END).input_ids
            rows.append(torch.tensor(prompt + answer))
            labels.append(torch.tensor([IGNORED] * len(prompt) + answer))
        # Padded on the right and causal, the real tokens never see the padding: no mask is needed.
        input_ids = pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad_token_id)
        targets = pad_sequence(labels, batch_first=True, padding_value=IGNORED)[:, 1:]
        logits = model(input_ids=input_ids, use_cache=False).logits[:, :-1]
        loss = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            print(f"step {step}/{steps}: loss {loss.item():.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the embedded model.")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1800)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--questions", type=int, default=50_000)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    torch.set_num_threads(1)  # one order of summation; for matrices this small more threads gain little
    questions = arithmetic_questions("train", arguments.questions, seed=arguments.seed)
    tokenizer = make_tokenizer(questions[:2000])
    model = make_model(tokenizer)
    train(model, tokenizer, questions, arguments.seed, arguments.steps, arguments.batch_size, arguments.learning_rate)
    save(model, tokenizer, arguments.out)


def save(model: Qwen2ForCausalLM, tokenizer: Qwen2Tokenizer, folder: Path) -> None:
    """Write weights in float16, to keep the file small, and a config that has them loaded in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config.do_sample = False
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = folder / "config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    content["dtype"] = "float32"
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
