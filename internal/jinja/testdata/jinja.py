"""Fills the column "want" of jinja.json with what Jinja2 for Python makes of each template.

Run it with Python and Jinja2 3.1, in this folder: python3 jinja.py
"""
import base64
import copy
import json

import jinja2

VALUES = {
    "s": "text", "n": 7, "f": 1.5, "yes": True, "no": False, "nothing": None, "empty": "",
    "l": ["x", "y"], "nums": [3, 1, 2], "mixed": [1, "a", None, True, 2.0, ["b"]],
    "d": {"a": 1, "b": ["p", "q"], "c": {"in": "deep", "is": {"not": "far"}}},
    "people": [{"name": "ann", "age": 31}, {"name": "bob", "age": 4}, {"name": "cy", "age": 31}],
    "quote": "it's", "double": 'a"b', "both": "it's \"b\"", "lines": "one\ntwo\n", "uni": "grün",
    "names": ["b", "A", "c"], "html": "<a href='x'>&</a>",
}

env = jinja2.Environment()
env.filters["b64encode"] = lambda t: base64.b64encode(str(t).encode()).decode()
env.filters["b64decode"] = lambda t: base64.b64decode(t).decode()

with open("jinja.json") as f:
    cases = json.load(f)["cases"]
out = []
for case in cases:
    entry = {"template": case["template"]}
    try:
        entry["want"] = env.from_string(case["template"]).render(copy.deepcopy(VALUES))
    except Exception as e:  # whatever Jinja raises, Troupe must refuse it, too
        entry["error"] = type(e).__name__
    entry.update({k: case[k] for k in ("differs", "troupe") if k in case})
    out.append(entry)
with open("jinja.json", "w") as f:
    f.write('{"jinja": %s,\n "values": %s,\n "cases": [\n' % (json.dumps(jinja2.__version__), json.dumps(VALUES)))
    f.write(",\n".join("  " + json.dumps(e, ensure_ascii=False) for e in out))
    f.write("\n]}\n")
