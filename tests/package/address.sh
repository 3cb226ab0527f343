#!/bin/bash
# address.sh FOLDER: install.sh with an address, of a server that has the FOLDER with the archive; the SBOM is one.
set -euo pipefail
folder=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")/../.." && pwd)
to=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$to"' EXIT
python3 -u -m http.server --bind 127.0.0.1 --directory "$folder" 0 >"$to/log" 2>&1 &
server=$!
until port=$(grep -o 'port [0-9]*' "$to/log" | grep -o '[0-9]*'); do
    kill -0 "$server" || { cat "$to/log" >&2; exit 1; }
    read -rt 0.05 <> <(:) || true
done
archive=$(basename "$folder"/*.tar.gz)
sh "$here/scripts/install.sh" "http://127.0.0.1:$port/$archive" --to "$to/bin"
"$to/bin/nanogridbot" --version
! sh "$here/scripts/install.sh" "http://127.0.0.1:$port/none.tar.gz" --to "$to/none" 2>/dev/null
python3 - "$folder"/*.spdx.json <<'PYTHON'
import json, sys
sbom = json.load(open(sys.argv[1]))
ids = {it["SPDXID"] for it in sbom["packages"]} | {"SPDXRef-DOCUMENT"}
assert sbom["spdxVersion"] == "SPDX-2.3" and len(ids) == len(sbom["packages"]) + 1, "each package once"
for it in sbom["relationships"]:
    assert it["spdxElementId"] in ids and it["relatedSpdxElement"] in ids, it
names = {it["name"] for it in sbom["packages"]}
assert {"nanogridbot", "tokio", "rustls"} <= names and "rcgen" not in names, "what is linked in, and nothing else"
assert all(it["licenseDeclared"] != "NOASSERTION" for it in sbom["packages"])
PYTHON
