"""Ids, input names, their order, defaults and outputs are permanent: saved workflows restore widgets by position."""

from __future__ import annotations

import inspect
import math

import maskloss
import pytest
from maskloss.nodes.checks import WIDGETS, declared_inputs, problem_with, required_inputs

# More than that stands in the way of what a node shows below.
MOST_SHOWN = 8
TIERS = "face_weight=255 hair_weight=80 body_weight=128 background_weight=0 class_weights=''"
# Widgets in order with their defaults; a star marks a required one.
CONTRACT: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "MaskLossPartSegmenter": ("", "model*='bundled'", ("MASKLOSS_PART_SEGMENTER",)),
    "MaskLossPersonSegmenter": ("", "model*='bundled'", ("MASKLOSS_PERSON_SEGMENTER",)),
    "MaskLossFaceRecognizer": ("", "model*='bundled'", ("MASKLOSS_FACE_RECOGNIZER",)),
    "MaskLossSam3Segmenters": (
        "model* clip*",
        "person_prompt='person:10' face_prompt='face:10' hair_prompt='hair:10'",
        ("MASKLOSS_PERSON_SEGMENTER", "MASKLOSS_PART_SEGMENTER"),
    ),
    "MaskLossReferenceFaces": (
        "recognizer* images",
        "directory='' face_index=-1 name=''",
        ("MASKLOSS_IDENTITY", "IMAGE", "STRING"),
    ),
    "MaskLossSegmentParts": ("image* segmenter*", "overlay_opacity=0.6", ("MASKLOSS_PARTS", "IMAGE")),
    "MaskLossPartsFromClassMap": (
        "class_map*",
        "scheme*='maskloss_4' encoding='id/(classes-1)'",
        ("MASKLOSS_PARTS",),
    ),
    "MaskLossPartsToMask": ("parts*", "classes*='face,hair,body'", ("MASK",)),
    "MaskLossWeightedMask": ("parts image face hair body", f"{TIERS} overlay_opacity=0.5", ("MASK", "IMAGE")),
    "MaskLossInstanceMask": (
        "image* recognizer* identity person_segmenter candidates parts",
        "min_similarity=0.0 margin=0.05 on_no_match='error' face_index=-1",
        ("MASK", "IMAGE", "STRING", "BOUNDING_BOX"),
    ),
    "MaskLossApplyInstanceMask": ("weights* instance*", "dilate_px=0 feather_px=0", ("MASK",)),
    "MaskLossMergeAlpha": ("image* weights*", "filename_prefix='maskloss/rgba' caption=''", ("IMAGE", "STRING")),
    "MaskLossPreviewWeights": ("weights* image mask_loss", "stride=8 overlay_opacity=0.7", ("IMAGE", "STRING")),
    "MaskLossLoadDataset": (
        "",
        "directory*='' mask_directory='' alpha_mask=False require_mask=False caption_directory='' "
        "caption_extension='.txt' control_directory='' recursive=False num_repeats=1 resolution_width=1024 "
        "resolution_height=1024 enable_bucket=True bucket_no_upscale=False bucket_step=16 min_bucket=0 max_bucket=0 "
        "target_frames='1' frame_extraction='head' frame_stride=1 frame_sample=1 max_frames=129 target_fps=16.0 "
        "mask_meaning='auto' folder_repeats=False caption_file='' regularisation=0.0",
        ("MASKLOSS_DATASET", "STRING"),
    ),
    "MaskLossLoadDatasetConfig": ("", "path*=''", ("MASKLOSS_DATASET", "STRING")),
    "MaskLossMergeDatasets": ("first* second*", "first_weight=1.0 second_weight=1.0", ("MASKLOSS_DATASET",)),
    "MaskLossDatasetBuildMasks": (
        "dataset* segmenter* person_segmenter",
        f"{TIERS} output_directory='' overwrite=False video_every=4",
        ("MASKLOSS_DATASET", "STRING"),
    ),
    "MaskLossDatasetKeepPerson": (
        "dataset* recognizer* identity* person_segmenter*",
        "min_similarity=0.0 margin=0.05 on_no_match='skip' dilate_px=0 feather_px=0 instance_directory='' "
        "output_directory='' overwrite=False choices='' video_every=4",
        ("MASKLOSS_DATASET", "STRING"),
    ),
    "MaskLossPeople": (
        "identity* people",
        "name*='' trigger='' class_noun='person' face_weight=-1 hair_weight=-1 body_weight=-1 background_weight=-1",
        ("MASKLOSS_PEOPLE",),
    ),
    "MaskLossFindPeople": (
        "dataset* recognizer*",
        "names='' min_photographs=2",
        ("MASKLOSS_PEOPLE", "IMAGE", "STRING"),
    ),
    "MaskLossKeepPeople": (
        "dataset* recognizer* people* person_segmenter*",
        "min_similarity=0.0 margin=0.05 on_no_match='skip' dilate_px=0 feather_px=0 instance_directory='' "
        "output_directory='' overwrite=False choices='' video_every=4 caption_template='{trigger}, {caption}' "
        "together=0.0 others_weight=0",
        ("MASKLOSS_DATASET", "STRING"),
    ),
    "MaskLossDatasetItems": ("dataset*", "offset=0 limit=8", ("IMAGE", "MASK", "STRING")),
    "MaskLossDatasetSetMasks": (
        "dataset* masks*",
        "names*='' output_directory=''",
        ("MASKLOSS_DATASET", "STRING"),
    ),
    "MaskLossDatasetSetCaptions": (
        "dataset*",
        "names*='' captions*='' write_sidecars=False trigger='' class_noun=''",
        ("MASKLOSS_DATASET", "STRING"),
    ),
    "MaskLossDatasetCrops": (
        "dataset*",
        "whole=1 bust=0 face=0 margin=0.3 min_face_px=0 caption_bust='' caption_face='' caption_whole=''",
        ("MASKLOSS_DATASET", "STRING"),
    ),
    "MaskLossDatasetCutOut": (
        "dataset*",
        "grow_percent=1.5 output_directory='' overwrite=False",
        ("MASKLOSS_DATASET", "STRING"),
    ),
    "MaskLossDatasetMergeAlpha": (
        "dataset*",
        "output_directory*='maskloss/rgba' dry_run=False skip_existing=False",
        ("MASKLOSS_DATASET", "STRING"),
    ),
    "MaskLossDatasetExport": ("dataset*", "trainer*='sd-scripts' output_directory=''", ("STRING", "STRING")),
    "MaskLossPreviewDataset": ("dataset*", "columns=4 limit=32 offset=0", ("IMAGE",)),
    "MaskLossCacheLatents": (
        "dataset* vae*",
        "cache_directory*='maskloss/cache' mask_storage='float16' one_frame=False target_index=1 control_indices='0' "
        "batch_size=1 architecture='auto' image_conditioning=False",
        ("MASKLOSS_CACHE", "STRING"),
    ),
    "MaskLossCacheText": ("cache* clip* mask_loss", "edit_model='auto'", ("MASKLOSS_CACHE", "STRING")),
    "MaskLossLoadCache": ("", "cache_directory*='maskloss/cache'", ("MASKLOSS_CACHE", "STRING")),
    "MaskLossPreviewCache": ("cache* mask_loss", "limit=32 offset=0", ("IMAGE", "STRING")),
    "MaskLossSettings": (
        "",
        "gamma=1.0 min_weight=0.0 blur=0 invert=False probability=1.0 normalization='per_sample' loss='mse' "
        "huber_delta=1.0 area_beta=0.0 prior_weight=0.0 prior_threshold=0.0 strict=False "
        "prior_teacher='base' prior_schedule='constant' prior_ema_decay=0.999 prior_min_t=0.0 prior_decay='constant' "
        "prior_decay_start=0.3 prior_warmup_steps=0 prior_exclusive=False "
        "dop_weight=0.0 dop_region='everywhere' trigger='' class_noun=''",
        ("MASKLOSS_LOSS",),
    ),
    "MaskLossSettingsPreset": ("", "preset*='person'", ("MASKLOSS_LOSS",)),
    "MaskLossLoraConfig": (
        "",
        "rank=16 alpha=16.0 targets='' dropout=0.0 algorithm='lora' conv=False",
        ("MASKLOSS_LORA",),
    ),
    "MaskLossOptimizer": (
        "",
        "name='adamw' learning_rate=1e-4 weight_decay=0.01 lr_scheduler='constant' warmup_steps=0 max_grad_norm=1.0 "
        "ema_decay=0.0 optimizer_args=''",
        ("MASKLOSS_OPTIMIZER",),
    ),
    "MaskLossSampling": (
        "positive* latent* vae* sampler* sigmas* negative recognizer identity bleed plain",
        "cfg=5.0 seed=0 every=100",
        ("MASKLOSS_SAMPLING",),
    ),
    "MaskLossTrainLora": (
        "model* cache* mask_loss lora_config optimizer sampling validation_cache initial_lora",
        "steps*=1000 batch_size=1 gradient_accumulation_steps=1 seed=0 timestep_sampling='uniform' timestep_min=0.0 "
        "timestep_max=1.0 gradient_checkpointing=True caption_dropout=0.0 validation_split=0.0 save_every=0 "
        "output_name='loras/maskloss/lora' on_existing='resume' training_dtype='auto' lora_dtype='fp32' "
        "min_snr_gamma=0.0 guidance=0.0 background_tokens=1.0 base_precision='as_loaded' "
        "blocks_in_main_memory=0 compile_blocks=False devices=1 fit='refuse' "
        "reference_method='auto'",
        ("LORA_MODEL", "LOSS_MAP", "INT", "STRING"),
    ),
    "MaskLossSaveLora": ("lora*", "filename_prefix='loras/maskloss' key_format='auto'", ("STRING",)),
    "MaskLossLoadLora": ("", "path*=''", ("LORA_MODEL",)),
    "MaskLossMemoryPlan": (
        "model cache lora_config optimizer mask_loss",
        "architecture='model' resolution_width=1024 resolution_height=1024 frames=1 batch_size=1 "
        "gradient_checkpointing=True training_dtype='auto' lora_dtype='fp32' weights='model' "
        "base_precision='as_loaded' blocks_in_main_memory=0 steps=1000",
        ("STRING", "IMAGE"),
    ),
    "MaskLossScorePictures": ("images* recognizer* identity* dataset", "", ("STRING", "IMAGE", "FLOAT")),
    "MaskLossBestLora": ("", "path*=''", ("LORA_MODEL", "STRING")),
    "MaskLossReport": ("dataset cache loss", "lora_path='' output_directory='maskloss/report'", ("STRING",)),
    "MaskLossDemoModels": ("", "seed=0", ("MASKLOSS_DEMO_MODEL", "MASKLOSS_DEMO_VAE", "MASKLOSS_DEMO_CLIP")),
}
NODES = maskloss.NODE_CLASS_MAPPINGS
OUTPUT_NODES = {
    *("MaskLossMergeAlpha", "MaskLossPreviewWeights", "MaskLossPreviewDataset", "MaskLossPreviewCache"),
    *("MaskLossDatasetBuildMasks", "MaskLossDatasetKeepPerson", "MaskLossDatasetSetMasks"),
    "MaskLossDatasetSetCaptions",
    *("MaskLossDatasetMergeAlpha", "MaskLossCacheLatents", "MaskLossCacheText"),
    *("MaskLossTrainLora", "MaskLossSaveLora", "MaskLossReport", "MaskLossMemoryPlan"),
}
INTERMEDIATE = {
    *("MaskLossReferenceFaces", "MaskLossSegmentParts", "MaskLossWeightedMask", "MaskLossInstanceMask"),
    "MaskLossScorePictures",
}


def test_every_node_of_the_contract_is_there_and_no_other() -> None:
    assert set(NODES) == set(CONTRACT)
    assert set(maskloss.NODE_DISPLAY_NAME_MAPPINGS) == set(CONTRACT)
    assert all(maskloss.NODE_DISPLAY_NAME_MAPPINGS.values())


@pytest.mark.parametrize("name", NODES)
def test_inputs_defaults_and_outputs(name: str) -> None:
    sockets, widgets, outputs = CONTRACT[name]
    declared, required = declared_inputs(NODES[name]), required_inputs(NODES[name])
    found_sockets = [n + "*" * (n in required) for n, d in declared.items() if d[0] not in WIDGETS]
    found_widgets = [f"{n}{'*' * (n in required)}={d[1]['default']!r}" for n, d in declared.items() if d[0] in WIDGETS]
    assert found_sockets == sockets.split()
    assert " ".join(found_widgets) == widgets.replace("1e-4", "0.0001")
    assert outputs == NODES[name].RETURN_TYPES


@pytest.mark.parametrize("name", NODES)
def test_python_defaults_are_the_widgets_defaults(name: str) -> None:
    parameters = inspect.signature(NODES[name].run).parameters
    declared, required = declared_inputs(NODES[name]), required_inputs(NODES[name])
    assert set(parameters) - {"self"} == set(declared)
    for input_name, (kind, options) in declared.items():
        default = parameters[input_name].default
        if input_name in required:
            assert default is inspect.Parameter.empty
        elif kind in WIDGETS:
            assert (default, type(default)) == (options["default"], type(options["default"]))
        else:
            assert default is None


@pytest.mark.parametrize("name", NODES)
def test_widgets_are_bounded_and_explained(name: str) -> None:
    node = NODES[name]
    assert node.CATEGORY.startswith("MaskLoss/")
    assert node.DESCRIPTION
    assert node.SEARCH_ALIASES
    for input_name, (kind, options) in declared_inputs(node).items():
        assert options["tooltip"], input_name
        if kind in ("INT", "FLOAT"):
            assert {"min", "max", "step"} <= set(options)
            assert all(math.isfinite(options[key]) for key in ("min", "max", "step"))
        if kind in WIDGETS:
            assert problem_with((kind, options), options["default"]) is None
        if input_name == "seed":
            assert options["control_after_generate"] is False


@pytest.mark.parametrize("name", NODES)
def test_what_is_rare_is_advanced_and_nobody_has_to_set_it(name: str) -> None:
    widgets = {n: more for n, (kind, more) in declared_inputs(NODES[name]).items() if kind in WIDGETS}
    rare = {input_name for input_name, more in widgets.items() if more.get("advanced")}
    assert len(widgets) - len(rare) <= MOST_SHOWN
    assert not rare & required_inputs(NODES[name])


@pytest.mark.parametrize("name", [name for name in NODES if hasattr(NODES[name], "VALIDATE_INPUTS")])
def test_checks_name_their_inputs_and_accept_links(name: str) -> None:
    validate = NODES[name].VALIDATE_INPUTS
    parameters = inspect.signature(validate).parameters
    assert set(parameters) <= set(declared_inputs(NODES[name]))
    assert all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters.values())
    assert validate(**dict.fromkeys(parameters)) is True
    assert validate() is True


def test_what_runs_for_its_own_sake_and_what_shows_something_on_the_way() -> None:
    # (O) and (I) of the contract; every node may show warnings besides.
    outputs = {name for name, node in NODES.items() if getattr(node, "OUTPUT_NODE", False)}
    shows = {name for name, node in NODES.items() if getattr(node, "HAS_INTERMEDIATE_OUTPUT", False)}
    assert outputs & OUTPUT_NODES == OUTPUT_NODES & set(NODES)
    assert shows == set(NODES) - outputs
    assert not outputs & (INTERMEDIATE | {"MaskLossPartsToMask", "MaskLossApplyInstanceMask", "MaskLossLoadDataset"})
    assert NODES["MaskLossMergeAlpha"].OUTPUT_IS_LIST == (False, True)
    assert NODES["MaskLossReferenceFaces"].INPUT_IS_LIST is True
