"""The CPU backend under a real Triton, without the gateway."""

import json
import queue
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import tritonclient.grpc as triton_grpc
from torch import Tensor, nn
from tritonclient.utils import InferenceServerException

from contract.manifest import MANIFEST_FILE, MODEL_FILE, ONNX_FILE
from contract.spaces import FeatureSpace
from contract.vectors import Features
from deploy.process import ProcessError
from deploy.triton.start import TritonServer
from tests.integration.stack import MODEL, eager, random_features
from tests.repository import SOURCE, TARGET, RandomLinear, write_translator

TENSOR = "FEATURE"


class RefusesNegative(nn.Module):
    """Raises, with the values in its message, when a feature begins with a negative number."""

    def forward(self, features: Tensor) -> Tensor:
        """[N, ds] to [N, dt]."""
        if bool((features[:, 0] < 0).any()):
            raise ValueError("refused secret values")
        return features[:, :16]


@pytest.fixture
def grpc(triton_server: TritonServer) -> Iterator[triton_grpc.InferenceServerClient]:
    with triton_grpc.InferenceServerClient(triton_server.grpc_address) as client:
        yield client


@pytest.fixture(scope="module")
def faulty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A model that refuses some features, beside one that cannot be loaded."""
    repository = tmp_path_factory.mktemp("faulty")
    version_dir = write_translator(repository)
    torch.jit.script(RefusesNegative()).save(str(version_dir / MODEL_FILE))  # type: ignore[no-untyped-call]
    (version_dir / MANIFEST_FILE).unlink()  # which vouches for other files
    broken = repository / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / MODEL_FILE).write_bytes(b"no model")
    (broken.parent / "config.pbtxt").write_bytes((repository / MODEL / "config.pbtxt").read_bytes())
    with TritonServer(repository) as server:
        yield server


def tensor(features: Features) -> triton_grpc.InferInput:
    made = triton_grpc.InferInput(TENSOR, list(features.shape), "FP32")
    made.set_data_from_numpy(features)
    return made


def infer(client: triton_grpc.InferenceServerClient, features: Features) -> Features:
    answer: Features = client.infer(MODEL, [tensor(features)]).as_numpy(TENSOR)
    return answer


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 512])
def test_translations_equal_eager_torch(grpc: triton_grpc.InferenceServerClient, rows: int) -> None:
    features = random_features(rows)
    np.testing.assert_allclose(infer(grpc, features), eager(features), rtol=0, atol=1e-4)


def test_a_request_beyond_the_batch_bound_is_refused(grpc: triton_grpc.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="batch-size must be <= 512"):
        infer(grpc, random_features(513))


def test_loading_a_model_that_is_not_there_tells_why(triton_server: TritonServer) -> None:
    with pytest.raises(ProcessError, match="nobody"):
        triton_server.load("nobody")
    assert not triton_server.is_model_ready("nobody")
    assert triton_server.is_model_ready(MODEL, 1)
    assert not triton_server.is_model_ready(MODEL, 2)


def test_one_failing_request_of_a_batch_fails_alone_and_without_its_values(faulty_server: TritonServer) -> None:
    features = np.abs(random_features(64))
    features[5, 0] = -1
    answers: queue.Queue[tuple[int, Features | None, str]] = queue.Queue()

    def send(client: triton_grpc.InferenceServerClient, row: int) -> None:
        def note(result: triton_grpc.InferResult | None, error: InferenceServerException | None) -> None:
            translated = None if result is None else result.as_numpy(TENSOR)
            answers.put((row, translated, "" if error is None else str(error.message())))

        client.async_infer(MODEL, [tensor(features[row : row + 1])], note)

    with triton_grpc.InferenceServerClient(faulty_server.grpc_address) as client:
        for row in range(64):
            send(client, row)
        results = {
            row: (translated, reason) for row, translated, reason in (answers.get(timeout=60) for _ in range(64))
        }
        executions = faulty_server.metric("nv_inference_exec_count", model=MODEL)
    translated, reason = results.pop(5)
    assert translated is None
    assert reason.endswith("the translator raised Error")
    for row, (translated, reason) in results.items():
        assert reason == ""
        assert translated is not None
        np.testing.assert_array_equal(translated[0], features[row, : TARGET.dim])
    assert executions < 64


@pytest.mark.parametrize("gone", [MODEL_FILE, ONNX_FILE])
def test_onnx_is_what_runs_on_a_cpu_and_torchscript_where_it_is_missing(tmp_path: Path, gone: str) -> None:
    (write_translator(tmp_path) / gone).unlink()
    features = random_features(65)
    with TritonServer(tmp_path) as server, triton_grpc.InferenceServerClient(server.grpc_address) as client:
        np.testing.assert_allclose(infer(client, features), eager(features), rtol=0, atol=1e-4)


@pytest.mark.parametrize("file", [MODEL_FILE, ONNX_FILE])
def test_a_file_that_is_not_the_manifests_is_not_loaded(tmp_path: Path, file: str) -> None:
    version, other = write_translator(tmp_path / "one"), write_translator(tmp_path / "other", seed=1)
    if file == MODEL_FILE:
        (version / ONNX_FILE).unlink()
    shutil.copy(other / file, version / file)
    refusal = pytest.raises(ProcessError, match=f"{file} does not have the manifest's sha256")
    with TritonServer(tmp_path / "one", models=()) as server, refusal:
        server.load(MODEL)


def test_onnx_that_no_manifest_names_is_left_alone(tmp_path: Path) -> None:
    version, other = write_translator(tmp_path / "one"), write_translator(tmp_path / "other", seed=1)
    shutil.copy(other / ONNX_FILE, version / ONNX_FILE)
    facts = json.loads((version / MANIFEST_FILE).read_bytes())
    (version / MANIFEST_FILE).write_text(json.dumps(facts | {"onnx": None}))
    features = random_features(3)
    with (
        TritonServer(tmp_path / "one") as server,
        triton_grpc.InferenceServerClient(server.grpc_address) as client,
    ):
        np.testing.assert_allclose(infer(client, features), eager(features), rtol=0, atol=1e-4)


def test_features_as_large_as_real_ones_come_back(tmp_path: Path) -> None:
    source, target = FeatureSpace(id="source-256", dim=256), FeatureSpace(id="target-512", dim=512)
    write_translator(tmp_path, source, target)
    features = random_features(100, source.dim)
    with TritonServer(tmp_path) as server, triton_grpc.InferenceServerClient(server.grpc_address) as client:
        for _ in range(20):
            answer = client.infer(f"{source.id}--{target.id}", [tensor(features)], client_timeout=60).as_numpy(TENSOR)
            np.testing.assert_allclose(
                answer, eager(features, RandomLinear(source.dim, target.dim, seed=0)), rtol=0, atol=1e-4
            )


def test_a_killed_server_leaves_no_process_and_no_shared_memory_and_comes_back(tmp_path: Path) -> None:
    write_translator(tmp_path)
    with TritonServer(tmp_path) as server:
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert children
        assert server.shared_memory()
        server.kill()
        psutil.wait_procs(children, timeout=60)
        assert not any(child.is_running() for child in children)
        assert not server.shared_memory()
        server.start()
        with triton_grpc.InferenceServerClient(server.grpc_address) as client:
            features = random_features(3)
            np.testing.assert_allclose(infer(client, features), eager(features), rtol=0, atol=1e-4)
        children = psutil.Process(server.process.pid).children(recursive=True)
    assert not any(child.is_running() for child in children)


def test_models_may_be_left_for_later(tmp_path: Path) -> None:
    write_translator(tmp_path)
    with TritonServer(tmp_path, models=()) as server:
        assert not server.is_model_ready(MODEL)
        server.load(MODEL)
        assert server.is_model_ready(MODEL)
        server.unload(MODEL)


def test_a_broken_model_does_not_keep_the_others_from_serving(faulty_server: TritonServer) -> None:
    assert faulty_server.is_model_ready(MODEL)
    assert not faulty_server.is_model_ready("broken")


def test_source_dimension_is_the_configured_one(grpc: triton_grpc.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="unexpected shape"):
        infer(grpc, random_features(2, SOURCE.dim - 1))
