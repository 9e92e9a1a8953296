"""Builds the wheel with the standard library alone, so that pip needs no network.

Source: PEP 517 (build backends), PEP 427 (wheels).
"""

import base64
import hashlib
import io
import os
import re
import tarfile
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "pyproject.toml"), encoding="utf-8") as f:
    VERSION = re.search(r'^version = "([^"]+)"$', f.read(), re.M).group(1)
INFO = "nsagent-%s.dist-info" % VERSION
WHEEL = "Wheel-Version: 1.0\nGenerator: nsagent\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def _read(*names):
    with open(os.path.join(HERE, *names), "rb") as f:
        return f.read()


def _metadata():
    head = (
        "Metadata-Version: 2.1\nName: nsagent\nVersion: %s\nRequires-Python: >=3.9\nLicense: Apache-2.0\n"
        "Summary: Sign NetSuite requests through nsagent, without ever holding a secret\n"
        "Description-Content-Type: text/markdown\n\n" % VERSION
    )
    return head.encode() + _read("README.md")


def _sources():
    names = sorted(os.listdir(os.path.join(HERE, "nsagent")))
    return [n for n in names if n.endswith(".py") or n == "py.typed"]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    files = [("nsagent/" + n, _read("nsagent", n)) for n in _sources()]
    files += [(INFO + "/METADATA", _metadata()), (INFO + "/WHEEL", WHEEL.encode())]
    record = "".join(
        "%s,sha256=%s,%d\n" % (n, base64.urlsafe_b64encode(hashlib.sha256(d).digest()).rstrip(b"=").decode(), len(d))
        for n, d in files
    )
    files.append((INFO + "/RECORD", (record + INFO + "/RECORD,,\n").encode()))
    name = "nsagent-%s-py3-none-any.whl" % VERSION
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as z:
        for n, d in files:
            info = zipfile.ZipInfo(n)  # a fixed time: the same sources make the same wheel
            info.external_attr = 0o644 << 16
            z.writestr(info, d, zipfile.ZIP_DEFLATED)
    return name


def build_sdist(sdist_directory, config_settings=None):
    top = "nsagent-" + VERSION
    files = [(n, _read(n)) for n in ("pyproject.toml", "README.md", "build_wheel.py")]
    files += [("nsagent/" + n, _read("nsagent", n)) for n in _sources()]
    files.append(("PKG-INFO", _metadata()))
    name = top + ".tar.gz"
    with tarfile.open(os.path.join(sdist_directory, name), "w:gz", format=tarfile.PAX_FORMAT) as t:
        for n, d in files:
            info = tarfile.TarInfo(top + "/" + n)
            info.size = len(d)
            t.addfile(info, io.BytesIO(d))
    return name
