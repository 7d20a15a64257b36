from __future__ import annotations
from pathlib import Path
import time

def test_one(scene) -> None:
    Path("a.csv").write_text("id,animal,n\na,cat,1\nb,dog,2\nc,emu,3\n")
    for _ in range(3):
        t=time.time()
        said = scene.run("batch", "run", "a.csv", "-e", scene.quick, "-o", "out", "--json")
        print(said.code, len(said.events), time.time()-t)
        t=time.time()
        said = scene.run("batch", "run", "a.csv", "-e", scene.quick, "-o", "out", "--json")
        print(said.code, len(said.events), time.time()-t)
        t=time.time()
        said = scene.run("batch", "run", "a.csv", "-e", scene.quick, "--new",  "--json")
        print(said.code, len(said.events), time.time()-t)
    assert 0
