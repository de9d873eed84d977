"""What one writes first: FastAPI, a list of lists in, torch in the endpoint, a list of lists out. MODEL PORT."""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.peers.model import load
from deploy.process import LOOPBACK


class Features(BaseModel):
    """Features [N, d]."""

    features: list[list[float]]


def main(file: str, port: int) -> None:
    """Serve until the process is ended."""
    app, model = FastAPI(), load(file)

    @app.get("/health")
    def health() -> str:
        return "ok"

    @app.post("/translate")
    def translate(body: Features) -> Features:
        with torch.inference_mode():
            return Features(features=model(torch.tensor(body.features)).tolist())

    uvicorn.run(app, host=LOOPBACK, port=port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
