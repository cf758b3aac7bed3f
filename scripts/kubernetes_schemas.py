"""Makes the JSON schemas that kubeconform checks manifests with, from what Kubernetes and others publish with their sources.

    kubernetes_schemas.py OUT SOURCE...     writes OUT/{kind}-{group}-{version}.json, lower case, one for each kind of object

A source is an OpenAPI document of Kubernetes (swagger.json), a CustomResourceDefinition as JSON, or the JSON schema of skaffold.yaml.
Everything is strict: a field that the API does not have is refused.
"""

import json
import sys
from pathlib import Path

PREFIX = "#/definitions/"


def strict(schema):
    """The same, with unknown fields refused and without what is said to clients only."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    out = {}
    for key, value in schema.items():
        if key == "properties":
            out[key] = {name: strict(part) for name, part in value.items()}
        elif key in ("enum", "default", "required", "$ref", "type", "pattern"):
            out[key] = value
        elif not key.startswith("x-") and key not in ("description", "format", "x-intellij-html-description", "examples"):
            out[key] = strict(value)
    if "properties" in out and not schema.get("x-kubernetes-preserve-unknown-fields"):
        out.setdefault("additionalProperties", False)
    return out


def reachable(schema, definitions, found):
    """Which definitions a schema needs, itself and through others."""
    if isinstance(schema, dict):
        # A property may be called `$ref` too.
        name = schema["$ref"].removeprefix(PREFIX) if isinstance(schema.get("$ref"), str) else ""
        if name and name not in found:
            found[name] = definitions[name]
            reachable(definitions[name], definitions, found)
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        reachable(part, definitions, found)
    return found


def identified(schema, group, version, kind):
    """The schema of objects that say what they are."""
    api_version = f"{group}/{version}" if group else version
    says = {"apiVersion": {"const": api_version}, "kind": {"const": kind}}
    required = sorted({"apiVersion", "kind", "metadata", *schema.get("required", [])})
    return {**schema, "properties": {"metadata": {"type": "object"}, **schema.get("properties", {}), **says}, "required": required}


def of_openapi(document):
    definitions = {name: strict(schema) for name, schema in document["definitions"].items()}
    # Written as numbers too: `cpu: 1`.
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"type": ["string", "number"]}
    for name, schema in document["definitions"].items():
        kinds = schema.get("x-kubernetes-group-version-kind", [])
        if len(kinds) == 1 and "metadata" in schema.get("properties", {}):
            group, version, kind = (kinds[0][part] for part in ("group", "version", "kind"))
            whole = identified(definitions[name], group, version, kind)
            yield group, version, kind, {**whole, "definitions": reachable(whole, definitions, {})}


def of_custom(document, metadata):
    spec = document["spec"]
    for version in spec["versions"]:
        kind = spec["names"]["kind"]
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = metadata
        yield spec["group"], version["name"], kind, identified(schema, spec["group"], version["name"], kind)


def schemas(source):
    """Group, version, kind and schema of each object that a source describes."""
    document = json.loads(source.read_text("utf-8"))
    if "swagger" in document:
        return of_openapi(document)
    if document.get("kind") == "CustomResourceDefinition":
        return of_custom(document, {"type": "object", "required": ["name"]})
    # That of skaffold, strict already; its version is the name of its file.
    return [("skaffold", source.stem, "Config", document)]


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True)
    for source in sys.argv[2:]:
        for group, version, kind, schema in schemas(Path(source)):
            # As kubeconform names them: only the first part of a group.
            name = "-".join(part for part in (kind, group.split(".")[0], version) if part).lower()
            (out / f"{name}.json").write_text(json.dumps(schema), "utf-8")


if __name__ == "__main__":
    main()
