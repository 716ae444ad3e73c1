"""Tokenizers without a vocabulary file, for models that are built and not downloaded.

Pipelines pad every prompt to one length, so the work doesn't depend on which tokens there are, and
a small vocabulary's tokens are valid in any larger one.
"""

from typing import Any

from vidmeter.workloads.parts import Part, named


def t5(tokens: int) -> Part:
    """For encoders of T5's kind: works on bytes."""
    return Part("transformers.ByT5Tokenizer", {"model_max_length": tokens})


def clip(tokens: int = 77) -> Part:
    """For encoders of CLIP's kind and for language models: pairs of bytes."""
    return Part("vidmeter.workloads.tokenizers.byte_pairs", {"length": tokens})


def chat(tokens: int) -> Part:
    """For language models that are given a conversation."""
    template = "{% for turn in messages %}{{ turn['role'] }}: {{ turn['content'] }}\n{% endfor %}"
    return Part(
        "vidmeter.workloads.tokenizers.byte_pairs", {"length": tokens, "template": template}
    )


def byte_pairs(length: int, template: str | None = None) -> Any:
    """A tokenizer that knows every byte and a few pairs, for at most `length` tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<e>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "<e>"],
        # In order, so that every process has the same vocabulary.
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["A cat walks on the grass, realistic style."], trainer)
    ends = [(word, tokenizer.token_to_id(word)) for word in ("<s>", "<e>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A <e>", pair="<s> $A <e> $B <e>", special_tokens=ends
    )
    return named("transformers.PreTrainedTokenizerFast")(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="<e>",
        pad_token="<e>",
        unk_token="<e>",
        model_max_length=length,
        chat_template=template,
    )


def text_processor(tokens: int) -> Part:
    """For models that take text through a processor of text, pictures and videos."""
    return Part("vidmeter.workloads.tokenizers.TextProcessor", {"length": tokens})


class TextProcessor:
    """A processor that is given text and nothing else."""

    def __init__(self, length: int) -> None:
        self.tokenizer = byte_pairs(length)

    def __call__(self, *, text: Any, images: None = None, videos: None = None, **more: Any) -> Any:
        """The text's tokens."""
        return self.tokenizer(text, **more)

    def decode(self, ids: Any) -> Any:
        """The text of tokens."""
        return self.tokenizer.decode(ids)
