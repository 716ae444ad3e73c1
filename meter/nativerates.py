"""How many frames a second the models behind a diffusers pipeline make, by the pipeline's class.

A file may be written at any rate, and then a second of its video is not a second of anyone else's.
From the models' published configurations and examples (diffusers' documentation of each pipeline,
and the model cards it names); where one class serves models of different rates, all are here.
"""

NATIVE_RATES: dict[str, tuple[float, ...]] = {
    "AllegroPipeline": (15,),
    "AnimateDiffPipeline": (8,),
    "CogVideoXPipeline": (8, 16),
    "HeliosPipeline": (24,),
    "HunyuanVideo15Pipeline": (24,),
    "HunyuanVideoPipeline": (24,),
    "Kandinsky5T2VPipeline": (24,),
    "LTX2Pipeline": (24,),
    "LTXConditionPipeline": (24, 25, 30),
    "LTXPipeline": (24, 25, 30),
    "LattePipeline": (8,),
    "MochiPipeline": (30,),
    "SanaVideoPipeline": (16,),
    "SkyReelsV2DiffusionForcingPipeline": (24,),
    "SkyReelsV2Pipeline": (24,),
    "StableVideoDiffusionPipeline": (7,),
    "WanPipeline": (16, 24),
}
"""Frames per second, by class."""
