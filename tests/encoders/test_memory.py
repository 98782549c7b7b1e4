"""Memory while large images are opened and embedded does not grow with the number of threads."""

import subprocess
import sys

import pytest
from PIL import Image

CODE = """
import os, resource, sys
os.cpu_count = lambda: int(sys.argv[1])
from cdir_nb.data import open_folder
from cdir_nb.encoders import load_encoder
images = open_folder(sys.argv[2], progress=False)
assert len(images) == 6 and max(images.image(0).size) < 4000
assert load_encoder("tiny-clip").embed_images(images, progress=False).shape[0] == 6
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs between systems")
def test_six_images_of_88_megapixels_take_less_than_3_gigabytes(tmp_path, fresh_cache):
    folder = tmp_path / "mine" / "photo" / "all"
    folder.mkdir(parents=True)
    image = Image.linear_gradient("L").resize((11_000, 8_000)).convert("RGBA")  # the mode that takes most memory
    image.save(folder / "0.png", compress_level=1)
    content = (folder / "0.png").read_bytes()
    for n in range(1, 6):
        (folder / f"{n}.png").write_bytes(content + bytes([n]))  # other bytes: each is decoded
    for workers in ("8", "1"):
        command = [sys.executable, "-c", CODE, workers, str(tmp_path / "mine")]
        kilobytes = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert kilobytes < 3 * 2**20, f"{kilobytes / 2**20:.1f} GiB with {workers} workers"
