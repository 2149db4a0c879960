//! Reads the one message that a request has (JSON-RPC 2.0).
//!
//! 1. The body is one object in UTF-8, and nothing but JSON's white space surrounds it. There are no
//!    batches: 2025-03-26 alone has them, and one request would be several operations.
//! 2. In the objects that are judged (the message, `params`, `params._meta`), no name occurs twice,
//!    nor one that a lenient parser takes for another (`names`). Names are compared after their
//!    escapes are decoded.
//! 3. A message is a request, a notification or a response, never two of them at once.
//! 4. What is not judged must still be JSON of bounded depth (`skipped`).

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::message_error::MessageError;
use super::names::MemberNames;
use super::rules::{NamedBy, Operation, RESPONSE};
use super::skipped::{Position, Skipped, Value};

/// The member of `_meta` that names the revision.
const REVISION: &str = "io.modelcontextprotocol/protocolVersion";

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Maximum bytes of an `id` that is a text. It is sent back in refusals.
const MAX_ID: usize = 256;
/// The largest integer that every parser reads exactly (RFC 8259 §6).
const MAX_EXACT: u64 = (1 << 53) - 1;

/// A message with one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'b> {
    /// What the server's response has to repeat; none for notifications, and for responses to a
    /// message without one.
    pub id: Option<Id>,
    /// The method; none for a response.
    pub method: Option<Cow<'b, str>>,
    /// What the operation is about: see [`Operation::name`].
    pub name: Option<Cow<'b, str>>,
    /// The revision that `_meta` names.
    pub revision: Option<Cow<'b, str>>,
}

/// The `id` of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Id {
    /// An integer.
    Number(i64),
    /// A text.
    Text(String),
}

impl<'b> Message<'b> {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn parse(body: &'b [u8]) -> Result<Self, MessageError> {
        if body.starts_with(BYTE_ORDER_MARK) {
            return Err(MessageError::ByteOrderMark);
        }
        let text = std::str::from_utf8(body).map_err(|_| MessageError::NotUtf8)?;
        let why = Cell::new(None);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let members = Object::<Members<'_>>::at(Position::top(&why))
            .deserialize(&mut deserializer)
            .and_then(|members| deserializer.end().map(|()| members))
            .map_err(|_| why.get().unwrap_or(MessageError::NotJson))?;
        members.into_message()
    }

    /// The operation that it asks for.
    #[must_use]
    pub fn operation(&self) -> Operation<'_> {
        Operation {
            method: self.method.as_deref().unwrap_or(RESPONSE),
            name: self.name.as_deref(),
        }
    }
}

/// The members of a message that are judged.
#[derive(Default)]
struct Members<'b> {
    version: Option<Value<'b>>,
    id: Option<Value<'b>>,
    method: Option<Value<'b>>,
    params: Option<Params<'b>>,
    has_result: bool,
    has_error: bool,
}

/// The members of `params` that are judged.
#[derive(Default)]
struct Params<'b> {
    name: Option<Value<'b>>,
    uri: Option<Value<'b>>,
    revision: Option<Value<'b>>,
}

impl<'b> Members<'b> {
    fn into_message(self) -> Result<Message<'b>, MessageError> {
        if self.version != Some(Value::Text("2.0".into())) {
            return Err(MessageError::Version);
        }
        let has_outcome = self.has_result || self.has_error;
        if self.method.is_some() == has_outcome || (self.has_result && self.has_error) {
            return Err(MessageError::Kind);
        }
        // An error may answer a message whose id could not be read.
        let id = match self.id {
            None if self.has_result => return Err(MessageError::Id),
            Some(Value::Null) if self.has_error => None,
            id => id.map(Id::read).transpose()?,
        };
        let Params {
            name,
            uri,
            revision,
        } = self.params.unwrap_or_default();
        let revision = revision
            .map(|revision| revision.into_text().ok_or(MessageError::Revision))
            .transpose()?;
        let Some(method) = self.method else {
            return Ok(Message {
                id,
                method: None,
                name: None,
                revision,
            });
        };
        let method = method.into_text().ok_or(MessageError::Method)?;
        // A rule for responses must not permit a request.
        if method.is_empty() || method == RESPONSE || has_control(&method) {
            return Err(MessageError::Method);
        }
        let name = match Operation::named_by(&method) {
            None => None,
            Some(NamedBy::Name) => name,
            Some(NamedBy::Uri) => uri,
        };
        let name = name
            .map(|name| name.into_text().ok_or(MessageError::Name))
            .transpose()?;
        if name.as_deref().is_some_and(has_control) {
            return Err(MessageError::Name);
        }
        Ok(Message {
            id,
            method: Some(method),
            name,
            revision,
        })
    }
}

// Parsers in C end a text at its first NUL, and no method or name has other control characters.
fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

impl Id {
    fn read(value: Value<'_>) -> Result<Self, MessageError> {
        match value {
            Value::Integer(number) if number.unsigned_abs() <= MAX_EXACT => {
                Ok(Self::Number(number))
            }
            Value::Text(text) if text.len() <= MAX_ID => Ok(Self::Text(text.into_owned())),
            Value::Integer(_) | Value::Text(_) | Value::Null | Value::Object | Value::Other => {
                Err(MessageError::Id)
            }
        }
    }
}

impl<'b> Value<'b> {
    fn into_text(self) -> Option<Cow<'b, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Integer(_) | Self::Object | Self::Other => None,
        }
    }
}

/// Reads the name of a member.
struct Name<'c>(Position<'c>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let position = self.0;
        let name = position.deserialize(deserializer)?.into_text();
        name.ok_or_else(|| position.fail(MessageError::NotJson))
    }
}

/// An object that is judged.
trait Judged<'de>: Default {
    /// The names of its members that are judged.
    const NAMES: &'static [&'static str];
    /// The fault of a list in its place.
    const NOT_A_LIST: MessageError;
    /// The fault of any other value in its place.
    const NOT_A_VALUE: MessageError;

    /// Reads the value of a member.
    fn read<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        values: &mut A,
        within: Position<'_>,
    ) -> Result<(), A::Error>;
}

impl<'de> Judged<'de> for Members<'de> {
    const NAMES: &'static [&'static str] =
        &["jsonrpc", "id", "method", "params", "result", "error"];
    const NOT_A_LIST: MessageError = MessageError::Batch;
    const NOT_A_VALUE: MessageError = MessageError::NotAnObject;

    fn read<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        values: &mut A,
        within: Position<'_>,
    ) -> Result<(), A::Error> {
        match name {
            "jsonrpc" => self.version = Some(values.next_value_seed(within)?),
            "id" => self.id = Some(values.next_value_seed(within)?),
            "method" => self.method = Some(values.next_value_seed(within)?),
            "params" => self.params = Some(values.next_value_seed(Object::at(within))?),
            _ => {
                self.has_result |= name == "result";
                self.has_error |= name == "error";
                values.next_value_seed(Skipped(within))?;
            }
        }
        Ok(())
    }
}

impl<'de> Judged<'de> for Params<'de> {
    const NAMES: &'static [&'static str] = &["name", "uri", "_meta"];
    const NOT_A_LIST: MessageError = MessageError::Params;
    const NOT_A_VALUE: MessageError = MessageError::Params;

    fn read<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        values: &mut A,
        within: Position<'_>,
    ) -> Result<(), A::Error> {
        match name {
            "name" => self.name = Some(values.next_value_seed(within)?),
            "uri" => self.uri = Some(values.next_value_seed(within)?),
            "_meta" => {
                let Meta(revision) = values.next_value_seed(Object::at(within))?;
                self.revision = revision;
            }
            _ => values.next_value_seed(Skipped(within))?,
        }
        Ok(())
    }
}

/// `params._meta`: the revision that it names.
#[derive(Default)]
struct Meta<'b>(Option<Value<'b>>);

impl<'de> Judged<'de> for Meta<'de> {
    const NAMES: &'static [&'static str] = &[REVISION];
    const NOT_A_LIST: MessageError = MessageError::Params;
    const NOT_A_VALUE: MessageError = MessageError::Params;

    fn read<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        values: &mut A,
        within: Position<'_>,
    ) -> Result<(), A::Error> {
        if name == REVISION {
            self.0 = Some(values.next_value_seed(within)?);
            Ok(())
        } else {
            values.next_value_seed(Skipped(within))
        }
    }
}

/// Reads a judged object.
struct Object<'c, T> {
    position: Position<'c>,
    kind: PhantomData<T>,
}

impl<'c, T> Object<'c, T> {
    fn at(position: Position<'c>) -> Self {
        Self {
            position,
            kind: PhantomData,
        }
    }
}

impl<'de, T: Judged<'de>> DeserializeSeed<'de> for Object<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Judged<'de>> Visitor<'de> for Object<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<T, A::Error> {
        let within = self.position.within()?;
        let mut names = MemberNames::of(T::NAMES);
        let mut object = T::default();
        while let Some(name) = members.next_key_seed(Name(within))? {
            names.add(&name).map_err(|why| within.fail(why))?;
            object.read(&name, &mut members, within)?;
        }
        Ok(object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<T, A::Error> {
        Err(self.position.fail(T::NOT_A_LIST))
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Err(self.position.fail(T::NOT_A_VALUE))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Err(self.position.fail(T::NOT_A_VALUE))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Err(self.position.fail(T::NOT_A_VALUE))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        Err(self.position.fail(T::NOT_A_VALUE))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Err(self.position.fail(T::NOT_A_VALUE))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<T, E> {
        Err(self.position.fail(T::NOT_A_VALUE))
    }
}

#[cfg(test)]
mod tests;
