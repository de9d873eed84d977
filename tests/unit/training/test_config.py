"""Settings: the shipped ones load, everything else is refused by file and key."""

from pathlib import Path

import pytest

import training
from contract.manifest import Method
from training.config import FitConfig, load_config, load_configs
from training.errors import ConfigError
from training.methods.registry import METHODS

SHIPPED = sorted((Path(training.__file__).parent / "configs").glob("*.toml"))


@pytest.mark.parametrize("method", METHODS)
def test_every_available_method_ships_settings(method: Method) -> None:
    assert load_config(method).method == method


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_file_loads_by_its_path(file: Path) -> None:
    method = Method(file.stem.removesuffix("-paper").removesuffix("-few-pairs"))
    assert load_config(method, file, seed=7).seed == 7


def test_the_papers_settings_are_the_papers() -> None:
    paper = load_config(Method.R3AN, next(file for file in SHIPPED if file.stem == "r3an-paper"))
    assert (paper.optimizer, paper.learning_rate, paper.momentum, paper.weight_decay) == ("sgd", 0.08, 0.9, 1e-3)
    assert (paper.batch_rows, paper.iterations, paper.milestones) == (512, 200_000, (60_000, 100_000, 140_000))
    assert (paper.step, paper.average_decay, paper.teacher) == ("sequential", 0.0, None)


@pytest.mark.parametrize(
    ("method", "paths"),  # reconstruction, adversarial, representation, regression
    [
        (Method.ARCH1, (True, False, True, False)),
        (Method.ARCH2, (False, True, True, False)),
        (Method.ARCH3, (False, False, False, True)),
        (Method.ARCH4, (True, False, False, True)),
        (Method.ARCH5, (True, False, True, True)),
        (Method.ARCH6, (False, True, False, True)),
        (Method.ARCH7, (False, False, True, True)),
        (Method.R3AN, (True, True, True, True)),
    ],
)
def test_an_architecture_has_the_paths_of_table_3(method: Method, paths: tuple[bool, ...]) -> None:
    config = load_config(method)
    weights = (config.reconstruction_weight, config.adversarial_weight, config.representation_weight)
    assert tuple(bool(weight) for weight in (*weights, config.regression_weight)) == paths


def test_the_architectures_differ_in_their_paths_alone() -> None:
    paths = ("reconstruction", "adversarial", "representation", "regression")
    differing = {"method", *(f"{path}_weight" for path in paths)}
    architectures = [load_config(method) for method in Method if method.startswith("arch")]
    assert len({architecture.model_dump_json(exclude=differing) for architecture in architectures}) == 1


def test_a_file_states_only_differences(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('method = "fc"\niterations = 7\n')
    assert load_config(Method.FC, file) == FitConfig(method=Method.FC, iterations=7)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('method = "fc"\nlearning_rat = 1.0\n', "learning_rat: "),
        ('method = "r3an"\n', "is for r3an, not fc"),
        ('method = "magic"\n', "method: "),
        ("iterations = 5\n", "method: "),
        ('method = "fc"\niterations = 0\n', "iterations: "),
        ('method = "fc"\nbatch_rows = 1\n', "batch_rows: "),
        ('method = "fc"\nlearning_rate = -1.0\n', "learning_rate: "),
        ('method = "fc"\nlearning_rate = "fast"\n', "learning_rate: "),
        ('method = "fc"\naverage_decay = 1.0\n', "average_decay: "),
        ('method = "fc"\nseed = -1\n', "seed: "),
        ('method = "fc"\nmilestones = ["soon"]\n', "milestones: 0: "),
        ('method = "fc"\nmilestones = [60, -5]\n', "milestones: 1: "),
        ('method = "fc"\nmilestones = [0]\n', "milestones: 0: "),
        ('method = "fc"\nstep = "both"\n', "step: "),
        ('method = "distilled"\nteacher = "distilled"\n', "Value error, a method cannot be its own teacher"),
        (
            'method = "arch1"\nregression_weight = 0.0\nface_losses_interval = 2\n',
            "Value error, without a regression weight",
        ),
        ('method = "distilled"\n', "Value error, distilled needs a teacher"),
        ('method = "fc"\nteacher = "affine"\n', "Value error, fc does not learn from a teacher"),
        (
            'method = "r3an"\nteacher = "affine"\nbatch_rows = 4\nteacher_share = 0.75\n',
            "Value error, teacher_share leaves fewer than 2 rows",
        ),
        (
            'method = "distilled"\nteacher = "affine"\nbatch_rows = 64\nteacher_share = 0.001\n',
            "Value error, teacher_share leaves no row of a batch to the teacher",
        ),
        ('method = "r3an"\nsoft_target_share = 0.5\n', "Value error, soft_target_share needs a teacher"),
        ("method = \n", "not TOML"),
    ],
)
def test_bad_settings_are_refused_in_one_line_by_file_and_key(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_config(Method.FC, file)
    assert str(refused.value).startswith(f"{file}: {reason}"), str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("number", ["inf", "nan"])
@pytest.mark.parametrize("key", [name for name, field in FitConfig.model_fields.items() if field.annotation is float])
def test_numbers_that_are_not_finite_are_refused_by_key(tmp_path: Path, key: str, number: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'method = "fc"\n{key} = {number}\n')
    with pytest.raises(ConfigError, match=f"{file}: {key}: "):
        load_config(Method.FC, file)


def test_settings_that_learn_nothing_are_refused() -> None:
    weights = dict.fromkeys(
        ("reconstruction_weight", "adversarial_weight", "representation_weight", "regression_weight"), 0.0
    )
    with pytest.raises(ValueError, match="nothing to learn"):
        FitConfig.model_validate({"method": Method.R3AN} | weights)
    assert FitConfig.model_validate({"method": Method.R3AN} | weights | {"regression_weight": 1.0})


def test_a_missing_or_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'method = "\xe9"')
    for file, reason in [
        (tmp_path / "none.toml", "no readable configuration"),
        (tmp_path, "no readable configuration"),
        (tmp_path / "latin.toml", "not TOML"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            load_config(Method.FC, file)


def test_several_methods_take_their_own_file_or_the_shipped_one(tmp_path: Path) -> None:
    file = tmp_path / "quick.toml"
    file.write_text('method = "fc"\niterations = 7\n')
    affine, fc = load_configs(["affine", "fc"], [file], seed=3)
    assert (affine.method, fc.iterations, affine.seed, fc.seed) == ("affine", 7, 3, 3)
    with pytest.raises(ConfigError, match="no method 'magic'"):
        load_configs(["magic"], [], seed=0)
    with pytest.raises(ConfigError, match="is for none of affine"):
        load_configs(["affine"], [file], seed=0)


@pytest.mark.parametrize(
    ("files", "seed", "shared"),
    [([""], None, 0), (["seed = 5"], None, 5), (["seed = 5"], 3, 3), (["seed = 5", ""], None, 5)],
)
def test_methods_that_are_compared_share_the_seed_that_is_given_or_else_the_files(
    tmp_path: Path, files: list[str], seed: int | None, shared: int
) -> None:
    written = write_settings(tmp_path, files)
    configs = load_configs(["affine", "fc", "residual"], written, seed=seed)
    assert [config.seed for config in configs] == [shared] * 3


def test_files_that_name_different_seeds_are_refused_unless_one_is_given(tmp_path: Path) -> None:
    first, second = write_settings(tmp_path, ["seed = 5", "seed = 6"])
    with pytest.raises(ConfigError, match=f"{second}: seed: 6, but 5 in {first}"):
        load_configs(["fc", "residual"], [first, second], seed=None)
    assert [config.seed for config in load_configs(["fc", "residual"], [first, second], seed=7)] == [7, 7]


def write_settings(folder: Path, texts: list[str]) -> list[Path]:
    """Files of FC's and the residual method's settings."""
    files = [folder / f"{method}.toml" for method in ("fc", "residual")[: len(texts)]]
    for file, text in zip(files, texts, strict=True):
        file.write_text(f'method = "{file.stem}"\n{text}\n')
    return files


def test_the_manifest_gets_every_setting_as_plain_values() -> None:
    facts = FitConfig(method=Method.FC, milestones=(3, 5)).facts()
    assert set(facts) == set(FitConfig.model_fields)
    assert (facts["milestones"], facts["method"]) == ([3, 5], "fc")


def test_two_files_for_one_method_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / "first.toml", tmp_path / "second.toml"]
    for file in files:
        file.write_text('method = "fc"\n')
    with pytest.raises(ConfigError, match=f"{files[1]}: is for the same method as {files[0]}"):
        load_configs(["fc"], files, seed=0)


@pytest.mark.parametrize("method", [Method.R3AN, Method.R3AN_LINEAR])
def test_r3an_is_shown_150_000_real_faces(method: Method) -> None:
    assert load_config(method).presented_faces >= 150_000
