"""Builds a tiny model of each family and keeps it on disk, as if it had been downloaded.

The classes are the real ones and the weights are random, so what comes out is noise. The scripts
beside this file load these models the way they would load real ones:

    pipe = WanPipeline.from_pretrained(tiny_models.path("wan"))

`EXAMPLES_CACHE` names the folder where they are kept; the system's folder for temporary files is
the default.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast


def path(name: str) -> Path:
    """The folder of a model; the first time it is built, which takes a second."""
    root = Path(os.environ.get("EXAMPLES_CACHE", Path(tempfile.gettempdir()) / "tiny-models"))
    folder = root / name
    if not folder.exists():
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as unfinished:
            torch.manual_seed(0)
            _MAKERS[name]().save_pretrained(Path(unfinished) / name)
            try:
                (Path(unfinished) / name).rename(folder)
            except OSError:
                if not folder.exists():  # else another process was quicker
                    raise
    return folder


def _byte_pairs(length: int = 77) -> PreTrainedTokenizerFast:
    """A tokenizer that knows every byte and a few pairs."""
    tokenizer = Tokenizer(models.BPE(unk_token="<e>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "<e>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(["A cat walks on the grass, realistic style."], trainer)
    ends = [(word, tokenizer.token_to_id(word)) for word in ("<s>", "<e>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A <e>", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="<e>",
        pad_token="<e>",
        model_max_length=length,
    )


def _t5(kind: str = "T5") -> Any:
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=384, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4
    )
    return getattr(transformers, f"{kind}EncoderModel")(config)


def _clip() -> Any:
    return transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            vocab_size=400,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )


def _wan() -> Any:
    from diffusers import (
        AutoencoderKLWan,
        UniPCMultistepScheduler,
        WanPipeline,
        WanTransformer3DModel,
    )

    return WanPipeline(
        tokenizer=ByT5Tokenizer(),
        text_encoder=_t5("UMT5"),
        transformer=WanTransformer3DModel(
            num_attention_heads=4,
            attention_head_dim=32,
            in_channels=16,
            out_channels=16,
            text_dim=64,
            freq_dim=64,
            ffn_dim=512,
            num_layers=4,
        ),
        vae=AutoencoderKLWan(base_dim=4, num_res_blocks=1),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    )


def _ltx() -> Any:
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXPipeline,
        LTXVideoTransformer3DModel,
    )

    return LTXPipeline(
        tokenizer=ByT5Tokenizer(),
        text_encoder=_t5(),
        transformer=LTXVideoTransformer3DModel(
            in_channels=32,
            out_channels=32,
            num_attention_heads=4,
            attention_head_dim=32,
            cross_attention_dim=128,
            num_layers=6,
            caption_channels=64,
        ),
        vae=AutoencoderKLLTXVideo(
            latent_channels=32,
            block_out_channels=(16, 32, 64, 64),
            decoder_block_out_channels=(16, 32, 64, 64),
            layers_per_block=(1,) * 5,
            decoder_layers_per_block=(1,) * 5,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def _cogvideox() -> Any:
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXPipeline,
        CogVideoXTransformer3DModel,
    )

    return CogVideoXPipeline(
        tokenizer=ByT5Tokenizer(),
        text_encoder=_t5(),
        transformer=CogVideoXTransformer3DModel(
            num_attention_heads=4,
            attention_head_dim=16,
            time_embed_dim=64,
            text_embed_dim=64,
            num_layers=4,
            sample_width=20,
            sample_height=12,
            sample_frames=9,
            max_text_seq_length=32,
        ),
        vae=AutoencoderKLCogVideoX(
            block_out_channels=(16, 16, 32, 32),
            layers_per_block=1,
            norm_num_groups=4,
            # A tile is half as high and half as wide. They overlap by a sixth and by a fifth, which
            # has to come out even in latents: 6 x 10 here, 30 x 45 in the published model.
            sample_height=96,
            sample_width=160,
        ),
        scheduler=CogVideoXDDIMScheduler(),
    )


def _hunyuan_video() -> Any:
    from diffusers import (
        AutoencoderKLHunyuanVideo,
        FlowMatchEulerDiscreteScheduler,
        HunyuanVideoPipeline,
        HunyuanVideoTransformer3DModel,
    )

    llama = transformers.LlamaModel(
        transformers.LlamaConfig(
            vocab_size=400,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
        )
    )
    return HunyuanVideoPipeline(
        tokenizer=_byte_pairs(512),
        text_encoder=llama,
        tokenizer_2=_byte_pairs(),
        text_encoder_2=_clip(),
        transformer=HunyuanVideoTransformer3DModel(
            num_attention_heads=4,
            attention_head_dim=32,
            num_layers=2,
            num_single_layers=4,
            num_refiner_layers=1,
            text_embed_dim=64,
            pooled_projection_dim=64,
            rope_axes_dim=(8, 12, 12),
        ),
        vae=AutoencoderKLHunyuanVideo(
            block_out_channels=(16, 16, 32, 32), layers_per_block=1, norm_num_groups=4
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    )


def _mochi() -> Any:
    from diffusers import (
        AutoencoderKLMochi,
        FlowMatchEulerDiscreteScheduler,
        MochiPipeline,
        MochiTransformer3DModel,
    )

    transformer = MochiTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=32,
        num_layers=4,
        pooled_projection_dim=64,
        text_embed_dim=64,
        time_embed_dim=64,
    )
    torch.nn.init.normal_(transformer.pos_frequencies, std=0.02)  # made empty, for a checkpoint
    return MochiPipeline(
        tokenizer=ByT5Tokenizer(),
        text_encoder=_t5(),
        transformer=transformer,
        vae=AutoencoderKLMochi(
            encoder_block_out_channels=(32,) * 4,
            decoder_block_out_channels=(32,) * 4,
            layers_per_block=(1,) * 5,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
    )


def _animatediff() -> Any:
    from diffusers import (
        AnimateDiffPipeline,
        AutoencoderKL,
        DDIMScheduler,
        MotionAdapter,
        UNet2DConditionModel,
    )

    return AnimateDiffPipeline(
        tokenizer=_byte_pairs(),
        text_encoder=_clip(),
        unet=UNet2DConditionModel(
            block_out_channels=(32, 64),
            layers_per_block=1,
            sample_size=16,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=64,
            norm_num_groups=8,
            attention_head_dim=8,
        ),
        motion_adapter=MotionAdapter(
            block_out_channels=(32, 64),
            motion_layers_per_block=1,
            motion_norm_num_groups=8,
            motion_num_attention_heads=4,
        ),
        vae=AutoencoderKL(
            block_out_channels=(16, 32, 32, 32),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=8,
        ),
        scheduler=DDIMScheduler(beta_schedule="linear", clip_sample=False),
    )


class _WithTokenizer:
    """A language model and its tokenizer in one folder, as they are published."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.parts = (model, tokenizer)

    def save_pretrained(self, folder: Path) -> None:
        for part in self.parts:
            part.save_pretrained(folder)


def _llama() -> Any:
    tokenizer = _byte_pairs()
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=16,
        num_attention_heads=8,
        num_key_value_heads=4,
        bos_token_id=0,
        eos_token_id=None,  # so that every answer has its full length
        pad_token_id=1,
    )
    return _WithTokenizer(transformers.LlamaForCausalLM(config), tokenizer)


_MAKERS: dict[str, Callable[[], Any]] = {
    maker.__name__[1:]: maker
    for maker in (_wan, _ltx, _cogvideox, _hunyuan_video, _mochi, _animatediff, _llama)
}
if __name__ == "__main__":
    for each in _MAKERS:
        print(path(each))
