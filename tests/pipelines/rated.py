"""A result of a comparison as compare.json holds it, made by hand: two methods, three photos."""

import base64
import io

from PIL import Image

METHODS = {"cyclegan": (200, 30, 30), "binarize-otsu": (30, 200, 30)}


def jpeg(colour):
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, "JPEG", quality=95)
    return base64.b64encode(file.getvalue()).decode()


def one(value, half=None):
    return {"value": value, "low": None if half is None else value - half,
            "high": None if half is None else value + half}  # fmt: skip


def figures(way, edge):
    return {"way": one(way), "kid/untrained": one(1 - way, 0.1), "edge_ssim": one(edge, 0.05),
            "psnr": one(None), "gradient": one(7.25, 0.5)}  # fmt: skip


def cell(label, budget, seed, way, edge, **more):
    colour = METHODS[label]
    return {
        "label": label, "method": label.split("-")[0], "preset": "small", "set": {}, "budget": budget,
        "seed": seed,
        "parameters": 12345, "cost": {"flops": 2_500_000_000, "seconds": 0.025, "memory_mb": 12.5},
        "figures": figures(way, edge), "shuffled": {"edge_ssim": one(0.1)},
        "pictures": [jpeg(tuple(c + 5 * i for c in colour)) for i in range(3)], **more,
    }  # fmt: skip


def result(**changes):
    trained = {"steps": 40, "batch": 1, "seen": 40, "seconds": 8.0, "paired": False}
    return {
        "version": 1,
        "suite": {"name": "tiny", "methods": [{"label": m, "method": m.split("-")[0]} for m in METHODS],
                  "size": 16, "pictures": 40, "seconds": 5.0, "seeds": 2, "cartoons": "storybook"},
        "photos_from": None, "cartoons_from": "mine.zip", "style": "storybook", "vgg": None, "seed": 0,
        "missing": 0,
        "about": {"program": "0", "torch": "2", "device": "cpu", "threads": 1, "faces_found": 0.5,
                  "fid_space": "untrained", "lpips": False,
                  "pictures": {"photos": 10, "cartoons": 9, "photos-held-out": 3, "cartoons-held-out": 4}},
        "controls": {"copy": figures(0, 1), "cartoons": figures(0.98, 0.1)},
        "photos": [jpeg((i * 40, 0, 0)) for i in range(3)],
        "cells": [cell("cyclegan", "pictures", 0, 0.5, 0.4, **trained),
                  cell("cyclegan", "pictures", 1, 0.7, 0.5, **trained),
                  cell("binarize-otsu", "taken", 0, -0.5, 0.9)],
        **changes,
    }  # fmt: skip
