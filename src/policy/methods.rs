//! The methods of a route.

use http::Method;

/// The methods of a route: all, or a set. GET includes HEAD (RFC 9110 §9.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Methods(Option<Vec<Method>>);

/// Why a list of names is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MethodsError {
    /// A route without a method would match no request.
    #[error("expected at least one method, but found none")]
    NoMethod,
    /// Not the name of a method. Methods are case-sensitive; registered ones are in upper case
    /// (RFC 9110 §9.1).
    #[error("expected a method in upper case, as in \"GET\", but found {0:?}")]
    InvalidName(String),
}

impl Methods {
    /// Every method.
    #[must_use]
    pub const fn all() -> Self {
        Self(None)
    }

    /// Parses names of methods.
    ///
    /// # Errors
    /// See [`MethodsError`].
    pub fn parse<'m>(names: impl IntoIterator<Item = &'m str>) -> Result<Self, MethodsError> {
        let mut methods = Vec::new();
        for name in names {
            let invalid = || MethodsError::InvalidName(name.to_owned());
            let method = Method::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
                return Err(invalid());
            }
            let covered = (method == Method::GET).then_some(Method::HEAD);
            for method in std::iter::once(method).chain(covered) {
                if !methods.contains(&method) {
                    methods.push(method);
                }
            }
        }
        if methods.is_empty() {
            Err(MethodsError::NoMethod)
        } else {
            Ok(Self(Some(methods)))
        }
    }

    /// Whether `method` is among them.
    #[must_use]
    pub fn contains(&self, method: &Method) -> bool {
        self.0
            .as_ref()
            .is_none_or(|methods| methods.contains(method))
    }

    /// The methods in the written order, HEAD after GET; `None` means all.
    #[must_use]
    pub fn listed(&self) -> Option<&[Method]> {
        self.0.as_deref()
    }

    /// The union of several sets.
    pub(super) fn union<'m>(all: impl IntoIterator<Item = &'m Self>) -> Self {
        let mut methods = Vec::new();
        for one in all {
            let Some(listed) = &one.0 else {
                return Self::all();
            };
            methods.extend(
                listed
                    .iter()
                    .filter(|method| !methods.contains(*method))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
        }
        Self(Some(methods))
    }

    /// The methods that `other` lacks; all if only `other` is restricted. `None` if none remain.
    pub(super) fn without(&self, other: &Self) -> Option<Self> {
        match (&self.0, &other.0) {
            (_, None) => None,
            (None, Some(_)) => Some(Self::all()),
            (Some(listed), Some(_)) => {
                let left: Vec<_> = listed
                    .iter()
                    .filter(|method| !other.contains(method))
                    .cloned()
                    .collect();
                (!left.is_empty()).then_some(Self(Some(left)))
            }
        }
    }

    /// A method that is in both sets.
    pub(super) fn in_common(&self, other: &Self) -> Option<Method> {
        match (&self.0, &other.0) {
            (None, None) => Some(Method::GET),
            (Some(listed), _) => listed.iter().find(|method| other.contains(method)).cloned(),
            (None, Some(listed)) => listed.first().cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn methods(names: &[&str]) -> Methods {
        Methods::parse(names.iter().copied()).expect("methods")
    }

    #[test]
    fn get_covers_head_and_no_other_method_does() {
        assert!(methods(&["GET"]).contains(&Method::HEAD));
        assert!(!methods(&["HEAD"]).contains(&Method::GET));
        assert!(!methods(&["POST"]).contains(&Method::HEAD));
        assert_eq!(
            methods(&["HEAD", "GET"]).listed(),
            Some(&[Method::HEAD, Method::GET][..])
        );
        assert!(Methods::all().contains(&Method::TRACE));
    }

    #[test]
    fn common_method_is_found_either_way() {
        for (one, other, expected) in [
            (Methods::all(), Methods::all(), Some(Method::GET)),
            (Methods::all(), methods(&["POST"]), Some(Method::POST)),
            (methods(&["GET"]), methods(&["HEAD"]), Some(Method::HEAD)),
            (methods(&["GET"]), methods(&["POST", "PUT"]), None),
        ] {
            assert_eq!(one.in_common(&other), expected);
            assert_eq!(other.in_common(&one), expected);
        }
    }

    #[test]
    fn invalid_method_is_refused() {
        assert_eq!(Methods::parse([]), Err(MethodsError::NoMethod));
        for name in ["get", "", "GE T", "G\u{e9}T", "Get", "*,"] {
            assert_eq!(
                Methods::parse([name]),
                Err(MethodsError::InvalidName(name.to_owned()))
            );
        }
    }
}
