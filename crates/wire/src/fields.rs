//! The outermost fields of a protobuf message, one by one, so that what is inside can be read,
//! bounded and refused one by one too.

use crate::Unreadable;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A text, bytes or a message.
    Bytes(&'a [u8]),
    /// A number of variable length.
    Varint(u64),
    /// A number of four or eight bytes.
    Fixed,
}

/// The fields of a message, in their order. Ends after the first that cannot be read.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Unreadable> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            let left = self.rest.len();
            return Err(Unreadable::new(format!(
                "expected {length} more bytes, got {left}: it was cut"
            )));
        };
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0;
        for (at, byte) in self.rest.iter().enumerate().take(10) {
            number |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(number);
            }
        }
        Err(Unreadable::new(
            "expected a number of at most ten bytes, got no end of it",
        ))
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Unreadable> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).unwrap_or(0);
        if number == 0 {
            return Err(Unreadable::new(format!(
                "expected the number of a field, got {}",
                key >> 3
            )));
        }
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            other => {
                return Err(Unreadable::new(format!(
                    "field {number}: expected the wire type 0, 1, 2 or 5, got {other}"
                )));
            }
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, String> {
        let fields: Result<_, _> = Fields::new(message).collect();
        fields.map_err(|error: Unreadable| error.to_string())
    }

    #[test]
    fn a_field_that_makes_no_sense_ends_the_message_with_a_reason() {
        let cases: [(&[u8], &str); 6] = [
            (b"\x0a\x05abc", "expected 5 more bytes, got 3: it was cut"),
            (b"\x09abc", "expected 8 more bytes, got 3: it was cut"),
            (
                b"\x08\xff",
                "expected a number of at most ten bytes, got no end of it",
            ),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                "expected a number of at most ten bytes, got no end of it",
            ),
            (
                b"\x0b",
                "field 1: expected the wire type 0, 1, 2 or 5, got 3",
            ),
            (b"\x00\x00", "expected the number of a field, got 0"),
        ];
        for (message, why) in cases {
            assert_eq!(read(message), Err(why.into()), "{message:?}");
        }
        assert_eq!(Fields::new(b"\x0b\x08\x01").count(), 1);
    }

    #[test]
    fn a_length_that_no_memory_has_is_refused_without_asking_for_it() {
        let message = b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert!(read(message).is_err());
    }

    #[test]
    fn fields_of_every_wire_type_are_passed_over() {
        let message = b"\x08\xac\x02\x11abcdefgh\x1a\x02hi\x25abcd";
        let fields = [
            (1, Value::Varint(300)),
            (2, Value::Fixed),
            (3, Value::Bytes(b"hi")),
            (4, Value::Fixed),
        ];
        assert_eq!(read(message).unwrap(), fields);
    }
}
