"""The bytes of an ONNX file as it is written: against the rules of protobuf, and read again."""

import numpy as np
import onnxruntime
import pytest

from stylegan_toon.onnx_file import Graph, _message, read_graph


def test_a_message_is_what_the_rules_of_protobuf_say():
    """The examples of protobuf.dev/programming-guides/encoding: 150 is 96 01, "testing" is 12 07 ..."""
    assert _message((1, 150)) == bytes.fromhex("089601")
    assert _message((2, "testing")) == bytes.fromhex("120774657374696e67")
    assert _message((3, _message((1, 150)))) == bytes.fromhex("1a03089601")
    assert _message((2, 1.0)) == bytes.fromhex("150000803f")
    assert _message((20, 0)) == bytes.fromhex("a00100")


def test_a_graph_runs_and_its_weights_are_read_again():
    graph = Graph()
    weight, bias = np.arange(6.0).reshape(2, 3), np.array([10.0, 20.0])
    y = graph.add("Gemm", "x", weight, bias, transB=1, alpha=2.0)
    graph.add("Unsqueeze", y, np.array([1, 3]), output="y")
    data = graph.model({"x": ["N", 3]}, {"y": ["N", 1, 2, 1]}, {"made by": "hand"})
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    x = np.float32([[1, 0, 0], [0, 1, 1]])
    # 2 x W^T + bias: of the first row 2 * (0, 3), of the second 2 * (1 + 2, 4 + 5)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0].reshape(2, 2), [[10, 26], [16, 38]])
    assert session.get_modelmeta().custom_metadata_map == {"made by": "hand"}
    nodes, weights = read_graph(data)
    assert [op for op, _ in nodes] == ["Gemm", "Unsqueeze"]
    np.testing.assert_array_equal(weights[nodes[0][1][1]], weight)
    with pytest.raises(ValueError, match="cut short"):
        read_graph(data[:-1])
