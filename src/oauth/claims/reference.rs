//! References to claims: the name of a claim, or a JSON Pointer into one (RFC 6901).
//!
//! 1. A text that begins with `/` is a JSON Pointer. Any other text is the name of a claim, as a
//!    whole: `a.b` and `https://example.com/roles` are names.
//! 2. A pointer is compiled when the configuration is loaded. Finding a value takes one step for
//!    each part of the pointer, whatever a token contains.
//! 3. Nothing is found if a part is missing, if a step leads into a text or a number, or if an index
//!    is no index of the list. `-`, the element after the last one, does not exist (RFC 6901 §4).

use std::fmt;

use serde_json::{Map, Value};

/// Maximum number of parts. The JSON parser accepts 128 levels, so no value is deeper.
const MAX_PARTS: usize = 128;

/// A claim, or a value within one.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimReference {
    text: Box<str>,
    /// The claim: a member of the claims set.
    claim: Box<str>,
    /// The parts of the pointer after the claim.
    steps: Box<[Step]>,
}

/// One part of a pointer: the name of a member, or an index where the value is a list.
#[derive(Clone, PartialEq, Eq)]
struct Step {
    name: Box<str>,
    index: Option<usize>,
}

/// Why a text refers to no claim.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimReferenceError {
    /// The text is empty. As a pointer it would mean all claims at once.
    #[error("expected the name of a claim or a JSON Pointer, but found an empty text")]
    Empty,
    /// A `~` that is neither `~0` nor `~1`.
    #[error("expected ~0 for ~ and ~1 for / in a JSON Pointer (RFC 6901), but found {0:?}")]
    Escape(String),
    /// More than 128 parts.
    #[error("expected a JSON Pointer of at most {MAX_PARTS} parts, but found {0}")]
    TooDeep(usize),
}

impl ClaimReference {
    /// Parses a name or a JSON Pointer.
    ///
    /// # Errors
    /// See [`ClaimReferenceError`].
    pub fn parse(text: &str) -> Result<Self, ClaimReferenceError> {
        if text.is_empty() {
            return Err(ClaimReferenceError::Empty);
        }
        let Some(pointer) = text.strip_prefix('/') else {
            return Ok(Self::name(text));
        };
        let parts = pointer.split('/').count();
        if parts > MAX_PARTS {
            return Err(ClaimReferenceError::TooDeep(parts));
        }
        let mut parts = pointer.split('/').map(unescaped);
        let claim = parts.next().unwrap_or(Ok(Box::default()))?;
        let steps = parts
            .map(|name| name.map(Step::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.into(),
            claim,
            steps,
        })
    }

    /// The claim of this name, whatever characters it has.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self {
            text: name.into(),
            claim: name.into(),
            steps: Box::default(),
        }
    }

    /// The reference as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The claim that the value is in: a member of the claims set.
    #[must_use]
    pub fn claim(&self) -> &str {
        &self.claim
    }

    /// The value that it refers to, in a claims set.
    #[must_use]
    pub fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        let claim = claims.get(&*self.claim)?;
        self.steps
            .iter()
            .try_fold(claim, |value, step| match value {
                Value::Object(members) => members.get(&*step.name),
                Value::Array(elements) => elements.get(step.index?),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            })
    }
}

impl Step {
    fn new(name: Box<str>) -> Self {
        let index = index(&name);
        Self { name, index }
    }
}

impl fmt::Display for ClaimReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ClaimReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

// `~01` is `~1`: each escape is replaced once, from the left (RFC 6901 §4).
fn unescaped(part: &str) -> Result<Box<str>, ClaimReferenceError> {
    let mut pieces = part.split('~');
    let mut name = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (character, rest) = match (piece.strip_prefix('0'), piece.strip_prefix('1')) {
            (Some(rest), _) => ('~', rest),
            (None, Some(rest)) => ('/', rest),
            (None, None) => return Err(ClaimReferenceError::Escape(part.to_owned())),
        };
        name.push(character);
        name.push_str(rest);
    }
    Ok(name.into())
}

// Digits without a leading zero (RFC 6901 §4).
fn index(name: &str) -> Option<usize> {
    let is_index =
        name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    name.parse().ok().filter(|_| is_index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn members(value: &Value) -> &Map<String, Value> {
        value.as_object().expect("an object")
    }

    /// The document and the pointers of RFC 6901 §5.
    #[test]
    fn pointers_of_rfc_6901_refer_to_its_values() {
        let document = json!({
            "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8
        });
        for (pointer, expected) in [
            ("/foo", json!(["bar", "baz"])),
            ("/foo/0", json!("bar")),
            ("/", json!(0)),
            ("/a~1b", json!(1)),
            ("/c%d", json!(2)),
            ("/e^f", json!(3)),
            ("/g|h", json!(4)),
            ("/i\\j", json!(5)),
            ("/k\"l", json!(6)),
            ("/ ", json!(7)),
            ("/m~0n", json!(8)),
        ] {
            let reference = ClaimReference::parse(pointer).expect("a pointer");
            assert_eq!(
                reference.find(members(&document)),
                Some(&expected),
                "{pointer}"
            );
            assert_eq!(document.pointer(pointer), Some(&expected), "{pointer}");
            assert_eq!(reference.as_str(), pointer);
        }
        // The first pointer of §5 is the empty one, the whole document. It refers to no claim.
        assert_eq!(ClaimReference::parse(""), Err(ClaimReferenceError::Empty));
    }

    #[test]
    fn name_is_one_claim_whatever_characters_it_has() {
        let claims = json!({
            "a.b": 1, "a": { "b": 2 }, "https://example.com/roles": 3, "x/y": 4, "m~n": 5, "0": 6, "/p": 7
        });
        for (name, expected) in [
            ("a.b", 1),
            ("https://example.com/roles", 3),
            ("x/y", 4),
            ("m~n", 5),
            ("0", 6),
            ("/~1p", 7),
            ("/https:~1~1example.com~1roles", 3),
            ("/a/b", 2),
        ] {
            let reference = ClaimReference::parse(name).expect("a reference");
            assert_eq!(
                reference.find(members(&claims)),
                Some(&json!(expected)),
                "{name}"
            );
        }
    }

    #[test]
    fn steps_that_lead_nowhere_find_nothing() {
        let claims =
            json!({ "a": ["x", { "b": null }], "t": "text", "n": 7, "o": { "0": 1, "00": 2 } });
        for pointer in [
            "/a/2",
            "/a/-",
            "/a/00",
            "/a/01",
            "/a/+1",
            "/a/-1",
            "/a/ 1",
            "/a/1.0",
            "/a/x",
            "/a/",
            "/a/1/c",
            "/a/1/b/c",
            "/t/0",
            "/t/",
            "/n/0",
            "/b",
            "//a",
            "/a/18446744073709551616",
            "/A",
        ] {
            let reference = ClaimReference::parse(pointer).expect("a pointer");
            assert_eq!(reference.find(members(&claims)), None, "{pointer}");
        }
        for (pointer, expected) in [
            ("/a/1/b", Value::Null),
            ("/o/0", json!(1)),
            ("/o/00", json!(2)),
        ] {
            let reference = ClaimReference::parse(pointer).expect("a pointer");
            assert_eq!(
                reference.find(members(&claims)),
                Some(&expected),
                "{pointer}"
            );
        }
    }

    #[test]
    fn malformed_pointer_is_refused_with_the_rule() {
        let escape = |part: &str| Err(ClaimReferenceError::Escape(part.to_owned()));
        for (pointer, expected) in [
            ("/a~", escape("a~")),
            ("/~", escape("~")),
            ("/a/~2b", escape("~2b")),
            ("/a~b/c", escape("a~b")),
            ("/~~0", escape("~~0")),
        ] {
            assert_eq!(ClaimReference::parse(pointer), expected, "{pointer}");
        }
        assert!(ClaimReference::parse(&"/a".repeat(MAX_PARTS)).is_ok());
        assert_eq!(
            ClaimReference::parse(&"/a".repeat(MAX_PARTS + 1)),
            Err(ClaimReferenceError::TooDeep(MAX_PARTS + 1))
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let name = "[a0~/]{0,2}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<u8>().prop_map(Value::from),
            name.prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 40, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..4)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        /// The judge is serde_json. It accepts escapes that RFC 6901 forbids, and those are refused here.
        #[test]
        fn pointer_finds_what_serde_json_finds(
            claims in prop::collection::btree_map("[a0~/]{0,2}", any_json(), 0..4),
            parts in prop::collection::vec("(a|0|1|01|-|~0|~1|~){0,3}", 1..5),
        ) {
            let document: Value = claims.into_iter().collect();
            let pointer: String = parts.iter().map(|part| format!("/{part}")).collect();
            match ClaimReference::parse(&pointer) {
                Ok(reference) => prop_assert_eq!(reference.find(members(&document)), document.pointer(&pointer)),
                Err(error) => {
                    let is_escape = matches!(error, ClaimReferenceError::Escape(_));
                    let mut after_tildes = pointer.split('~').skip(1);
                    prop_assert!(is_escape && after_tildes.any(|rest| !rest.starts_with(['0', '1'])));
                }
            }
        }
    }
}
