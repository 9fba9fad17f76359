"""Checkpoints with random weights, one of each family, as transformers writes them to a folder.

Tiny ones for tests, and ones as large as the published for measurements: no hub is asked for
anything. What full-size ones write is noise, at the cost of the real thing.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    DetrImageProcessorPil,
    GotOcr2Config,
    GotOcr2ForConditionalGeneration,
    GotOcr2ImageProcessorPil,
    GotOcr2Processor,
    Pix2StructConfig,
    Pix2StructForConditionalGeneration,
    Pix2StructImageProcessorPil,
    Pix2StructProcessor,
    PreTrainedTokenizerFast,
    ResNetConfig,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessorPil,
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
    TableTransformerConfig,
    TableTransformerForObjectDetection,
)
from transformers.utils import logging

DOCLAYNET = (
    "Caption",
    "Footnote",
    "Formula",
    "List-item",
    "Page-footer",
    "Page-header",
    "Picture",
    "Section-header",
    "Table",
    "Text",
    "Title",
)

HERON = (
    *DOCLAYNET,
    "Document Index",
    "Code",
    "Checkbox-Selected",
    "Checkbox-Unselected",
    "Form",
    "Key-Value Region",
)

TABLE_PARTS = (
    "table",
    "table column",
    "table row",
    "table column header",
    "table projected row header",
    "table spanning cell",
)

GAIN = 1.2


def build(
    model_type: str, folder: Path, *, tiny: bool = True, gain: float = GAIN, **options: Any
) -> Path:
    """Write a checkpoint of the family to ``folder`` and return it.

    ``gain`` is about the standard deviation of a layer's outputs over that of its inputs: at
    ``GAIN`` what the model answers depends on the image. ``labels`` are a detector's classes;
    other options change its configuration.
    """
    logging.disable_progress_bar()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(1)
        model, processor = _BUILDERS[model_type](tiny, **options)
        _fill(model, gain)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _fill(model: Any, gain: float) -> None:
    """Give every layer random weights of that size."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                spread = gain / parameter[0].numel() ** 0.5
                parameter.normal_(0, spread)


def _detr(tiny: bool, *, labels: Sequence[str] = DOCLAYNET, **changes: Any) -> tuple[Any, Any]:
    sizes = {"backbone_config": _resnet(tiny, 50), **_detr_sizes(tiny, 16, 100), **changes}
    model = DetrForObjectDetection(DetrConfig(id2label=dict(enumerate(labels)), **sizes))
    edges = (96, 160) if tiny else (800, 1333)
    return model, DetrImageProcessorPil(
        size=dict(zip(("shortest_edge", "longest_edge"), edges, strict=True))
    )


def _table_transformer(
    tiny: bool, *, labels: Sequence[str] = TABLE_PARTS, **changes: Any
) -> tuple[Any, Any]:
    sizes = {"backbone_config": _resnet(tiny, 18), **_detr_sizes(tiny, 24, 125), **changes}
    config = TableTransformerConfig(id2label=dict(enumerate(labels)), **sizes)
    edge = 128 if tiny else 1000
    return TableTransformerForObjectDetection(config), DetrImageProcessorPil(
        size={"shortest_edge": edge, "longest_edge": edge}
    )


def _resnet(tiny: bool, layers: int) -> ResNetConfig:
    if not tiny:
        kind, depths, widths = {
            18: ("basic", [2, 2, 2, 2], [64, 128, 256, 512]),
            50: ("bottleneck", [3, 4, 6, 3], [256, 512, 1024, 2048]),
        }[layers]
        return ResNetConfig(
            layer_type=kind, depths=depths, hidden_sizes=widths, out_features=["stage4"]
        )
    return ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage4"],
    )


def _detr_sizes(tiny: bool, tiny_queries: int, queries: int) -> dict[str, Any]:
    if not tiny:
        return {"num_queries": queries}
    return {
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "num_queries": tiny_queries,
    }


def _rt_detr(
    tiny: bool, *, version: int, labels: Sequence[str] = HERON, **changes: Any
) -> tuple[Any, Any]:
    config_class, model_class = {
        1: (RTDetrConfig, RTDetrForObjectDetection),
        2: (RTDetrV2Config, RTDetrV2ForObjectDetection),
    }[version]
    sizes: dict[str, Any] = {}
    if tiny:
        sizes = {
            "backbone_config": RTDetrResNetConfig(
                embedding_size=8,
                hidden_sizes=[8, 8, 16, 16],
                depths=[1, 1, 1, 1],
                layer_type="basic",
                out_features=["stage2", "stage3", "stage4"],
            ),
            "encoder_hidden_dim": 32,
            "encoder_in_channels": [8, 16, 16],
            "encoder_ffn_dim": 32,
            "encoder_attention_heads": 2,
            "d_model": 32,
            "num_queries": 16,
            "decoder_in_channels": [32, 32, 32],
            "decoder_ffn_dim": 32,
            "decoder_attention_heads": 2,
            "decoder_layers": 2,
            "encoder_layers": 1,
        }
    sizes = {"num_denoising": 0, "id2label": dict(enumerate(labels)), **sizes, **changes}
    side = 128 if tiny else 640
    processor = RTDetrImageProcessorPil(size={"height": side, "width": side})
    return model_class(config_class(**sizes)), processor


def _got_ocr2(tiny: bool) -> tuple[Any, Any]:
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<imgpad>"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_bytes_tokenizer(specials),
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        padding_side="left",
    )
    side = 128 if tiny else 1024
    text: dict[str, Any] = {"vocab_size": 151_860, "tie_word_embeddings": True}
    vision: dict[str, Any] = {}
    if tiny:
        vision = {
            "hidden_size": 16,
            "output_channels": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": side,
            "window_size": 2,
            "global_attn_indexes": [1],
            "mlp_dim": 32,
        }
        text = {
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "max_position_embeddings": 1024,
            "tie_word_embeddings": False,
        }
    config = GotOcr2Config(
        vision_config=vision,
        text_config={
            "model_type": "qwen2",
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **text,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<imgpad>"),
        image_seq_length=(side // 64) ** 2,
        tie_word_embeddings=not tiny,
    )
    images = GotOcr2ImageProcessorPil(size={"height": side, "width": side})
    return GotOcr2ForConditionalGeneration(config), GotOcr2Processor(images, tokenizer)


def _pix2struct(tiny: bool) -> tuple[Any, Any]:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_bytes_tokenizer(["<pad>", "</s>", "<unk>"]),
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    tokenizer.add_tokens(["<0x0A>"])
    text: dict[str, Any] = {"vocab_size": 50_244}
    vision: dict[str, Any] = {}
    if tiny:
        text = {
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "d_kv": 16,
            "d_ff": 32,
            "num_layers": 1,
            "num_heads": 2,
        }
        vision = {
            "hidden_size": 32,
            "d_ff": 32,
            "d_kv": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "seq_len": 256,
        }
    marks = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1, "is_decoder": True}
    config = Pix2StructConfig(
        text_config={**marks, **text},
        vision_config={"patch_embed_hidden_size": 768, **vision},
        is_vqa=True,
    )
    images = Pix2StructImageProcessorPil(is_vqa=True, max_patches=64 if tiny else 2048)
    return Pix2StructForConditionalGeneration(config), Pix2StructProcessor(images, tokenizer)


def _bytes_tokenizer(specials: list[str]) -> Tokenizer:
    """A tokenizer of single bytes."""
    tokenizer = Tokenizer(tokenizer_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + len(specials),
        special_tokens=specials,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(["a"], trainer)
    return tokenizer


_BUILDERS: Mapping[str, Callable[..., tuple[Any, Any]]] = {
    "detr": _detr,
    "rt_detr": lambda tiny, **options: _rt_detr(tiny, version=1, **options),
    "rt_detr_v2": lambda tiny, **options: _rt_detr(tiny, version=2, **options),
    "table-transformer": _table_transformer,
    "got_ocr2": _got_ocr2,
    "pix2struct": _pix2struct,
}
"""By model type: a model with random weights and its processor."""

FAMILIES = tuple(_BUILDERS)
