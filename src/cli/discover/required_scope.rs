//! The scope in a `WWW-Authenticate` header.

/// The scope that a `Bearer` challenge asks for (RFC 6750 §3).
///
/// The challenge must be the first of its header. Its attributes come in any order, quoted or bare (RFC 9110 §11.2).
pub(super) fn parse(challenge: &str) -> Option<String> {
    let (scheme, mut rest) = challenge.trim_start().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return None;
    }
    loop {
        let (name, after) = rest.trim_start_matches([' ', '\t', ',']).split_once('=')?;
        let name = name.trim_end();
        // Another scheme before the name: the next challenge begins, and its attributes are not ours.
        if name.contains([' ', '\t']) {
            return None;
        }
        let (value, after) = split_value(after.trim_start())?;
        if name.eq_ignore_ascii_case("scope") {
            return Some(value);
        }
        rest = after;
    }
}

/// Splits off a token or a quoted string, in which a backslash stands before a character that is meant literally.
fn split_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn scope_is_found_anywhere_in_the_challenge() {
        let cases = [
            (
                r#"Bearer error="insufficient_scope", scope="a b""#,
                Some("a b"),
            ),
            (r#"bearer scope=a,error=insufficient_scope"#, Some("a")),
            (
                r#"Bearer realm="say \"scope=x\", please" , SCOPE = "a""#,
                Some("a"),
            ),
            (
                r#"Bearer error="insufficient_scope", Other scope="a""#,
                None,
            ),
            (r#"Basic scope="a""#, None),
            (r#"Bearer scope="a"#, None),
            ("Bearer", None),
        ];
        for (challenge, scope) in cases {
            assert_eq!(parse(challenge).as_deref(), scope, "{challenge}");
        }
    }
}
