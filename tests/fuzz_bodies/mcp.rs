//! The input is the body of an MCP request. A message that is accepted has one reading: whichever
//! of two members a parser takes, and whether or not it compares names without case, it finds the
//! same operation and the same revision.

use std::fmt;

use scopegate::policy::mcp::Message;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

const REVISION: &str = "io.modelcontextprotocol/protocolVersion";

pub(crate) fn check(input: &[u8]) {
    let Ok(message) = Message::parse(input) else {
        return;
    };
    let text = std::str::from_utf8(input).expect("a message is UTF-8");
    let document = parse(text);
    for reader in READERS {
        let method = document.member("method", reader);
        let outcome = ["result", "error"].map(|name| document.member(name, reader));
        assert_eq!(method.is_none(), outcome.iter().any(Option::is_some));
        let method = method.and_then(Node::text);
        assert_eq!(message.method.as_deref(), method);
        let params = document.member("params", reader);
        let param = |name| params.and_then(|params| params.member(name, reader));
        let named_by = match method {
            Some("tools/call" | "prompts/get") => "name",
            Some("resources/read") => "uri",
            Some(_) | None => "",
        };
        let name = param(named_by);
        assert_eq!(message.name.as_deref(), name.and_then(Node::text));
        assert_eq!(message.name.is_some(), name.is_some());
        let revision = param("_meta").and_then(|meta| meta.member(REVISION, reader));
        assert_eq!(message.revision.as_deref(), revision.and_then(Node::text));
    }
}

/// How a parser takes a member of an object that may have several of the name.
type Reader = fn(&[(String, Node)], &str) -> Option<usize>;

const READERS: [Reader; 4] = [
    |members, name| members.iter().position(|(found, _)| found == name),
    |members, name| members.iter().rposition(|(found, _)| found == name),
    |members, name| members.iter().position(|(found, _)| is_alike(found, name)),
    |members, name| members.iter().rposition(|(found, _)| is_alike(found, name)),
];

// As parsers that compare without case, and those that end a text at a NUL.
fn is_alike(found: &str, name: &str) -> bool {
    let found = found.split('\0').next().unwrap_or_default();
    found.to_lowercase() == name.to_lowercase() || found.to_uppercase() == name.to_uppercase()
}

/// JSON with every member of its objects.
enum Node {
    Object(Vec<(String, Node)>),
    Text(String),
    Other,
}

impl Node {
    fn member(&self, name: &str, reader: Reader) -> Option<&Self> {
        let Self::Object(members) = self else {
            return None;
        };
        reader(members, name).map(|index| &members[index].1)
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Object(_) | Self::Other => None,
        }
    }
}

fn parse(text: &str) -> Node {
    serde_json::from_str(text).expect("a message is JSON")
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Node, A::Error> {
        while elements.next_element::<Node>()?.is_some() {}
        Ok(Node::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Node::Object(object))
    }
}
