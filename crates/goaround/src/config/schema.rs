//! The configuration as a JSON Schema, for editors and pipelines.

use super::key::{KEYS, Key, Preset};
use super::value::{Kind, Raw, Value};
use serde_json::{Map, Value as Json, json};

/// The schema of `goaround.toml`, made from the table of keys.
pub fn schema() -> Json {
    let mut root = table();
    for key in KEYS.iter().filter(|key| key.kind != Kind::Secret) {
        let segments: Vec<&str> = key.path.split('.').collect();
        place(&mut root, &segments, key);
    }
    let root = root.as_object_mut().map(std::mem::take).unwrap_or_default();
    let mut schema = Map::new();
    let dialect = "https://json-schema.org/draft/2020-12/schema";
    schema.insert("$schema".into(), dialect.into());
    schema.insert("title".into(), "goaround.toml".into());
    schema.extend(root);
    Json::Object(schema)
}

fn table() -> Json {
    json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

fn place(section: &mut Json, segments: &[&str], key: &Key) {
    let [name, deeper @ ..] = segments else {
        return;
    };
    if let (Preset::Required, []) = (key.preset, deeper) {
        section["required"] = json!([name]);
    }
    let slot = match *name {
        "*" => &mut section["additionalProperties"],
        name => &mut section["properties"][name],
    };
    if deeper.is_empty() {
        *slot = leaf(key);
        return;
    }
    if !slot.is_object() {
        *slot = table();
    }
    place(slot, deeper, key);
}

fn leaf(key: &Key) -> Json {
    let mut schema = of_kind(&key.kind);
    schema["description"] = key.doc.into();
    if let Preset::Is(text) = key.preset {
        schema["default"] = default(key, text);
    }
    schema
}

fn default(key: &Key, text: &str) -> Json {
    match key.kind.read(Raw::Text(text)) {
        Ok(Value::Switch(is_on)) => is_on.into(),
        Ok(Value::Integer(number)) => number.into(),
        Ok(Value::Number(number)) => number.into(),
        _ => text.into(),
    }
}

fn of_kind(kind: &Kind) -> Json {
    let texts = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
    match kind {
        // The keys of its section are put into it one by one.
        Kind::Switch(_) => json!({
            "type": ["boolean", "object"],
            "properties": {},
            "additionalProperties": false,
        }),
        Kind::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number(min, max) => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::Backend(schemes) => json!({
            "type": "string",
            "pattern": format!("^(embedded|({})://.+)$", schemes.join("|")),
        }),
        Kind::Size(..) => json!({
            "anyOf": [{ "type": "string" }, { "type": "integer" }],
            "examples": [kind.expected()],
        }),
        Kind::Environment => json!({
            "anyOf": [
                texts,
                {
                    "type": "object",
                    "additionalProperties": { "anyOf": [{ "type": "string" }, { "const": true }] },
                },
            ],
        }),
        Kind::Stages | Kind::Kinds | Kind::Command => texts,
        Kind::Duration(..)
        | Kind::Version
        | Kind::Address
        | Kind::Path
        | Kind::Prefix
        | Kind::Url(_)
        | Kind::Secret => {
            json!({ "type": "string", "minLength": 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_a_file_may_have_is_in_the_schema() {
        let schema = schema();
        for key in KEYS.iter().filter(|key| key.kind != Kind::Secret) {
            let pointer = key.path.split('.').map(|segment| match segment {
                "*" => "/additionalProperties".to_owned(),
                name => format!("/properties/{name}"),
            });
            let pointer: String = pointer.collect();
            let found = schema.pointer(&pointer);
            assert_eq!(
                found.map(|leaf| &leaf["description"]),
                Some(&key.doc.into())
            );
        }
        assert_eq!(schema.pointer("/properties/http/properties/token"), None);
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(
            schema["properties"]["stage"]["additionalProperties"]["required"],
            json!(["run"])
        );
    }
}
