# Downloads one file: the arguments are its address, its SHA-256 in hexadecimal and where to put it. Nothing is written of a file with another digest.
import hashlib
import http.client
import sys
import urllib.request

address, expected, path = sys.argv[1:]
try:
    with urllib.request.urlopen(address, timeout=60) as source:
        content = source.read()
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"{address} cannot be downloaded: {error!r}")
digest = hashlib.sha256(content).hexdigest()
if digest != expected:
    sys.exit(f"{address} is not the file that was expected: its SHA-256 is {digest}, not {expected}")
with open(path, "wb") as file:
    file.write(content)
