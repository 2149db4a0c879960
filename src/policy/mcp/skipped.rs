//! Values that nothing judges. They must be JSON, and not too deep: a server reads them as well.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::message_error::MessageError;

/// Maximum number of objects and lists within one another.
pub(super) const MAX_DEPTH: usize = 64;

/// Where parsing stands: how deep, and why it failed.
#[derive(Clone, Copy)]
pub(super) struct Position<'c> {
    why: &'c Cell<Option<MessageError>>,
    depth: usize,
}

/// A value of which only the kind matters, or the text.
#[derive(Debug, PartialEq)]
pub(super) enum Value<'b> {
    Null,
    Integer(i64),
    Text(Cow<'b, str>),
    Object,
    Other,
}

impl<'c> Position<'c> {
    /// The whole message.
    pub(super) fn top(why: &'c Cell<Option<MessageError>>) -> Self {
        Self { why, depth: 0 }
    }

    /// Within an object or a list that begins here.
    pub(super) fn within<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail(MessageError::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    /// Ends the parsing. serde's own messages would repeat values of the request.
    pub(super) fn fail<E: Error>(self, why: MessageError) -> E {
        self.why.set(Some(why));
        E::custom("refused")
    }
}

/// Reads a value, and skips what is within it.
impl<'de> DeserializeSeed<'de> for Position<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Position<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(number).map_or(Value::Other, Value::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    // Nothing is copied of a text with escapes but by the caller that wants it.
    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value<'de>, A::Error> {
        let within = self.within()?;
        while elements.next_element_seed(Skipped(within))?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value<'de>, A::Error> {
        let within = self.within()?;
        while members.next_key_seed(Skipped(within))?.is_some() {
            members.next_value_seed(Skipped(within))?;
        }
        Ok(Value::Object)
    }
}

/// Reads a value of which nothing matters, and copies nothing.
pub(super) struct Skipped<'c>(pub(super) Position<'c>);

impl<'de> DeserializeSeed<'de> for Skipped<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skipped<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<(), A::Error> {
        self.0.visit_seq(elements).map(drop)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<(), A::Error> {
        self.0.visit_map(members).map(drop)
    }
}
