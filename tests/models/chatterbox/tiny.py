"""Chatterbox with small random weights: the library's own classes, written as its checkpoints are.

Only the transformer is small, by its table of configurations; the other parts have their real size,
which nobody can set. The transformer ends its speech after `TOKENS` tokens, because nobody taught
it to: from that position on, all it sees is the sign to stop.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from chatterbox.models.s3gen import S3Gen
from chatterbox.models.t3 import T3, llama_configs
from chatterbox.models.t3.modules.cond_enc import T3Cond
from chatterbox.models.t3.modules.t3_config import T3Config
from chatterbox.models.voice_encoder import VoiceEncoder
from chatterbox.tts import Conditionals
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = 12
"""Of speech in each piece: 0.48 s."""
_STAMMER = 7
_REVISION = "0123456789abcdef0123456789abcdef01234567"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'-"


def shrink() -> None:
    """Makes the library build small transformers.

    Its perceiver has a fixed width, and its analyser of languages looks at 14 layers.
    """
    llama = {"intermediate_size": 64, "num_hidden_layers": 14}
    llama_configs.LLAMA_CONFIGS["Llama_520M"].update(llama)
    gpt = {"n_embd": 64, "hidden_size": 64, "n_head": 4, "n_layer": 2}
    llama_configs.LLAMA_CONFIGS["GPT2_medium"].update(gpt)


def write_cache(cache: Path) -> None:
    """Writes the weights of all variants as a cache of Hugging Face's hub."""
    shrink()
    torch.manual_seed(0)
    folder = _snapshot(cache, "models--ResembleAI--chatterbox")
    voice_encoder = VoiceEncoder().state_dict()
    speech = S3Gen().eval()
    _save(voice_encoder, folder / "ve.safetensors", folder / "ve.pt")
    _save(speech.state_dict(), folder / "s3gen.safetensors", folder / "s3gen.pt")
    _save(_transformer(T3Config.english_only()), folder / "t3_cfg.safetensors")
    _save(_transformer(T3Config.multilingual()), folder / "t3_mtl23ls_v2.safetensors")
    _letters(704).save(str(folder / "tokenizer.json"))
    _letters(2454).save(str(folder / "grapheme_mtl_merged_expanded_v1.json"))
    (folder / "Cangjie5_TC.json").write_text(json.dumps(["好\tvnd", "你\tonf"]), "utf-8")
    _voice(speech, 150).save(folder / "conds.pt")
    del speech
    _write_turbo(_snapshot(cache, "models--ResembleAI--chatterbox-turbo"), voice_encoder)


def _write_turbo(folder: Path, voice_encoder: dict[str, Any]) -> None:
    speech = S3Gen(meanflow=True).eval()
    _save(voice_encoder, folder / "ve.safetensors")
    _save(speech.state_dict(), folder / "s3gen_meanflow.safetensors")
    _voice(speech, 375).save(folder / "conds.pt")
    settings = T3Config(text_tokens_dict_size=50276)
    settings.llama_config_name = "GPT2_medium"
    settings.speech_tokens_dict_size = 6563
    settings.input_pos_emb = None
    settings.speech_cond_prompt_len = 375
    settings.use_perceiver_resampler = False
    settings.emotion_adv = False
    transformer = T3(settings)
    # One in twelve or so, of the thousand likeliest that it chooses from.
    transformer.speech_head.bias.data[settings.stop_speech_token] = 4.5
    _save(transformer.state_dict(), folder / "t3_turbo_v1.safetensors")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {letter: number for number, letter in enumerate([*alphabet, "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(words), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    named = {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named), "utf-8")


def _transformer(settings: T3Config) -> dict[str, Any]:
    transformer = T3(settings)
    stop = settings.stop_speech_token
    # The first direction means "stop": it is there from the last token's position on.
    transformer.speech_emb.weight.data[:, 0] = -30.0
    transformer.speech_pos_emb.emb.weight.data[TOKENS:, 0] = 100.0
    # The second means "no": what follows the sounds are signs, which nobody can speak.
    transformer.speech_emb.weight.data[:, 1] = -30.0
    head = transformer.speech_head.weight.data
    head[settings.start_speech_token :] = 0.0
    head[settings.start_speech_token :, 1] = 4.0
    head[stop] = 0.0
    head[stop, 0] = 4.0
    # The multilingual model's analyser forbids to stop before all of the text was heard, which is
    # never; but it makes the model stop that says the same twice.
    head[_STAMMER, 0] = 2.0
    return transformer.state_dict()


def _voice(speech: S3Gen, prompt_tokens: int) -> Conditionals:
    with torch.inference_mode():
        # A second of it: all that is spoken takes as long as it and its prompt together.
        heard = speech.embed_ref(torch.randn(24000).numpy() * 0.1, 24000, device="cpu")
    condition = T3Cond(
        speaker_emb=torch.randn(1, 256),
        cond_prompt_speech_tokens=torch.randint(0, 6000, (1, prompt_tokens)),
        emotion_adv=0.5 * torch.ones(1, 1, 1),
    )
    return Conditionals(condition, heard)


def _letters(size: int) -> Tokenizer:
    """Returns a tokenizer of single letters with the signs that the library looks for."""
    signs = {"[STOP]": 0, "[UNK]": 1, "[SPACE]": 2, "[START]": 255}
    words = {letter: number for number, letter in enumerate(_LETTERS, 3)}
    words |= signs | {f"[{code}]": 300 + n for n, code in enumerate(("en", "de", "zh"))}
    assert max(words.values()) < size
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[], unk_token="[UNK]"))
    tokenizer.add_special_tokens([each for each in words if each.startswith("[")])
    return tokenizer


def _save(state: dict[str, Any], *paths: Path) -> None:
    for path in paths:
        if path.suffix == ".pt":
            torch.save(state, path)
        else:
            save_file({name: value.contiguous().clone() for name, value in state.items()}, path)


def _snapshot(cache: Path, name: str) -> Path:
    (cache / name / "refs").mkdir(parents=True)
    (cache / name / "refs" / "main").write_text(_REVISION, "ascii")
    folder = cache / name / "snapshots" / _REVISION
    folder.mkdir(parents=True)
    return folder
