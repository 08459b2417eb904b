//! Objects, and nothing else.
//!
//! What serde derives for a struct takes a list as well, its items for the fields in their order:
//! `[]` would be an order without a word, which for a release means everything.

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Reads a `T` from an object; `expected` is how it is named to whoever sent something else.
pub(super) fn from_slice<'a, T: Deserialize<'a>>(
    text: &'a [u8],
    expected: &'static str,
) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = Object::new(expected).deserialize(&mut json)?;
    json.end()?;
    Ok(read)
}

/// As [`from_slice`], of what is known to be UTF-8.
pub(super) fn from_str<'a, T: Deserialize<'a>>(
    text: &'a str,
    expected: &'static str,
) -> serde_json::Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let read = Object::new(expected).deserialize(&mut json)?;
    json.end()?;
    Ok(read)
}

/// Reads a `T` from an object inside of another.
pub(super) fn within<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<T, D::Error> {
    Object::new(expected).deserialize(deserializer)
}

struct Object<T> {
    expected: &'static str,
    read: PhantomData<T>,
}

impl<T> Object<T> {
    const fn new(expected: &'static str) -> Self {
        let read = PhantomData;
        Self { expected, read }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Object<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}
