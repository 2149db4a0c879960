use super::*;

fn parse(text: &str) -> Result<(Option<String>, Option<String>), MessageError> {
    Message::parse(text.as_bytes()).map(|message| {
        (
            message.method.map(Cow::into_owned),
            message.name.map(Cow::into_owned),
        )
    })
}

fn call(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
}

#[test]
fn operation_is_named_by_the_member_of_its_method() {
    let named = |method: &str| {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"name":"n","uri":"u"}}}}"#
        );
        parse(&text).expect("a message").1
    };
    assert_eq!(named("tools/call").as_deref(), Some("n"));
    assert_eq!(named("prompts/get").as_deref(), Some("n"));
    assert_eq!(named("resources/read").as_deref(), Some("u"));
    assert_eq!(named("resources/subscribe"), None);
    assert_eq!(named("tools/list"), None);
}

#[test]
fn escapes_are_decoded_before_anything_is_compared() {
    let escaped = r#"{"json\u0072pc":"2.0","i\u0064":1,"m\u0065thod":"tools\/c\u0061ll","p\u0061rams":{"n\u0061me":"\u0064elete_\ud83d\ude00"}}"#;
    let expected = (Some("tools/call".to_owned()), Some("delete_😀".to_owned()));
    assert_eq!(parse(escaped), Ok(expected));
    for (doubled, why) in [
        (
            r#"{"name":"a","n\u0061me":"b"}"#,
            MessageError::RepeatedMember,
        ),
        (r#"{"N\u0061me":"b"}"#, MessageError::LookalikeMember),
    ] {
        assert_eq!(parse(&call(doubled)), Err(why), "{doubled}");
    }
}

#[test]
fn message_is_a_request_a_notification_or_a_response() {
    let of = |members: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0",{members}}}"#);
        Message::parse(text.as_bytes())
            .map(|message| (message.id.clone(), message.operation().method.to_owned()))
    };
    let number = |number| Some(Id::Number(number));
    for (members, id, method) in [
        (r#""id":1,"method":"a""#, number(1), "a"),
        (r#""id":"x","method":"a""#, Some(Id::Text("x".into())), "a"),
        (r#""method":"a""#, None, "a"),
        (r#""id":-9,"result":null"#, number(-9), "response"),
        (r#""id":1,"error":{}"#, number(1), "response"),
        (r#""id":null,"error":{}"#, None, "response"),
        (r#""error":{}"#, None, "response"),
    ] {
        assert_eq!(of(members), Ok((id, method.to_owned())), "{members}");
    }
    for (members, why) in [
        (r#""id":1"#, MessageError::Kind),
        (r#""id":1,"method":"a","result":{}"#, MessageError::Kind),
        (r#""id":1,"method":"a","error":{}"#, MessageError::Kind),
        (r#""id":1,"result":1,"error":1"#, MessageError::Kind),
        (r#""result":{}"#, MessageError::Id),
        (r#""id":null,"result":{}"#, MessageError::Id),
        (r#""id":null,"method":"a""#, MessageError::Id),
        (r#""id":1.0,"method":"a""#, MessageError::Id),
        (r#""id":1e2,"method":"a""#, MessageError::Id),
        (r#""id":9007199254740992,"method":"a""#, MessageError::Id),
        (
            r#""id":18446744073709551615,"method":"a""#,
            MessageError::Id,
        ),
        (r#""id":[1],"method":"a""#, MessageError::Id),
        (r#""id":true,"method":"a""#, MessageError::Id),
        (r#""id":1,"method":1"#, MessageError::Method),
        (r#""id":1,"method":null"#, MessageError::Method),
        (r#""id":1,"method":["a"]"#, MessageError::Method),
        (r#""id":1,"method":"""#, MessageError::Method),
        (r#""id":1,"method":"a\u0000""#, MessageError::Method),
        // A rule for responses permits no request.
        (r#""id":1,"method":"response""#, MessageError::Method),
        (r#""id":1,"method":"a","params":[]"#, MessageError::Params),
        (r#""id":1,"method":"a","params":null"#, MessageError::Params),
        (r#""id":1,"method":"a","params":"x""#, MessageError::Params),
    ] {
        assert_eq!(of(members), Err(why), "{members}");
    }
    let long = |length: usize| of(&format!(r#""id":"{}","method":"a""#, "x".repeat(length)));
    assert!(long(256).is_ok());
    assert_eq!(long(257), Err(MessageError::Id));
    for version in ["1.0", "2", "2.0 "] {
        let text = format!(r#"{{"jsonrpc":"{version}","id":1,"method":"a"}}"#);
        assert_eq!(parse(&text), Err(MessageError::Version));
    }
    for text in [
        r#"{"id":1,"method":"a"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"a"}"#,
    ] {
        assert_eq!(parse(text), Err(MessageError::Version));
    }
}

#[test]
fn name_that_is_no_text_is_refused() {
    for params in [
        r#"{"name":["delete"]}"#,
        r#"{"name":null}"#,
        r#"{"name":1}"#,
        r#"{"name":{"toString":"delete"}}"#,
        r#"{"name":"delete\u0000_not"}"#,
        r#"{"name":"a\nb"}"#,
    ] {
        assert_eq!(parse(&call(params)), Err(MessageError::Name), "{params}");
    }
    assert_eq!(
        parse(&call("{}")),
        Ok((Some("tools/call".to_owned()), None))
    );
}

#[test]
fn lookalikes_are_refused_in_each_judged_object_and_nowhere_else() {
    let top = |member: &str| {
        parse(&format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list",{member}}}"#
        ))
    };
    for member in [
        r#""Method":"tools/call""#,
        r#""method":"tools/call""#,
        r#""PARAMS":{}"#,
        r#""param\u017f":{}"#,
        r#""Result":1"#,
        r#""x":1,"X":2"#,
        r#""__proto__":{"params":{"name":"delete"}}"#,
        r#""method\u0000":"tools/call""#,
    ] {
        assert!(top(member).is_err(), "{member}");
    }
    for params in [
        r#"{"name":"a","Name":"b"}"#,
        r#"{"Name":"b"}"#,
        r#"{"name":"a","NAME":"a"}"#,
        r#"{"URI":"b"}"#,
        r#"{"_META":{}}"#,
        r#"{"__proto__":{"name":"delete"}}"#,
        r#"{"_meta":{},"_meta":{}}"#,
        r#"{"_meta":{"a":1,"A":2}}"#,
        r#"{"_meta":{"IO.modelcontextprotocol/protocolversion":"x"}}"#,
    ] {
        assert!(parse(&call(params)).is_err(), "{params}");
    }
    // Arguments are the tool's affair.
    let arguments = r#"{"name":"a","arguments":{"a":1,"A":2,"name":"b","Name":"c","a":3}}"#;
    assert!(parse(&call(arguments)).is_ok());
    assert!(top(r#""extra":{"Method":1,"Method":2}"#).is_ok());
}

#[test]
fn revision_is_that_of_meta() {
    let revision = |meta: &str| {
        let text = call(&format!(r#"{{"name":"a","_meta":{meta}}}"#));
        Message::parse(text.as_bytes()).map(|message| message.revision.map(Cow::into_owned))
    };
    let named = r#"{"x":1,"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#;
    assert_eq!(revision(named), Ok(Some("2026-07-28".to_owned())));
    assert_eq!(revision("{}"), Ok(None));
    let number = r#"{"io.modelcontextprotocol/protocolVersion":1}"#;
    assert_eq!(revision(number), Err(MessageError::Revision));
    for meta in ["null", "[]", "\"x\"", "1"] {
        assert_eq!(revision(meta), Err(MessageError::Params), "{meta}");
    }
}

#[test]
fn body_is_one_object_and_nothing_else() {
    let good = call(r#"{"name":"a"}"#);
    assert!(parse(&good).is_ok());
    assert!(parse(&format!(" \t\r\n{good}\n \r\t")).is_ok());
    for (text, why) in [
        (String::new(), MessageError::NotJson),
        (" ".to_owned(), MessageError::NotJson),
        (format!("{good}{good}"), MessageError::NotJson),
        (format!("{good}\n{good}"), MessageError::NotJson),
        (format!("{good}x"), MessageError::NotJson),
        (format!("{good}\0"), MessageError::NotJson),
        (format!("{good}\u{a0}"), MessageError::NotJson),
        (format!("{good}\u{b}"), MessageError::NotJson),
        (format!("{good}//"), MessageError::NotJson),
        (format!("/**/{good}"), MessageError::NotJson),
        (format!(")]}}'\n{good}"), MessageError::NotJson),
        (format!("\u{feff}{good}"), MessageError::ByteOrderMark),
        (format!(" \u{feff}{good}"), MessageError::NotJson),
        (format!("[{good}]"), MessageError::Batch),
        ("[]".to_owned(), MessageError::Batch),
        ("null".to_owned(), MessageError::NotAnObject),
        ("1".to_owned(), MessageError::NotAnObject),
        (format!("{:?}", good), MessageError::NotAnObject),
        (good.replace("1,", "1,,"), MessageError::NotJson),
        (good.replace("}}", "},}"), MessageError::NotJson),
        (good.replace("\"id\"", "'id'"), MessageError::NotJson),
        (good.replace("\"id\"", "id"), MessageError::NotJson),
        (good.replace(":1,", ":01,"), MessageError::NotJson),
        (good.replace(":1,", ":+1,"), MessageError::NotJson),
        (good.replace(":1,", ":0x1,"), MessageError::NotJson),
        (good.replace(":1,", ":NaN,"), MessageError::NotJson),
        (good.replace("\"a\"", "\"a\nb\""), MessageError::NotJson),
        (good.replace("\"a\"", "\"\\ud800\""), MessageError::NotJson),
        (good.replace("\"a\"", "\"\\x61\""), MessageError::NotJson),
        (good.replace("\"a\"", "\"a"), MessageError::NotJson),
    ] {
        assert_eq!(parse(&text), Err(why), "{text}");
    }
}

#[test]
fn other_encodings_are_refused() {
    let good = call(r#"{"name":"a"}"#);
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(Message::parse(&utf16).is_err());
    for invalid in [
        &b"\xC0\xAE"[..],
        b"\xFF",
        b"\xED\xA0\x80",
        b"\xC1\xA1",
        b"\xF8\x88\x80\x80\x80",
    ] {
        let mut body = call(r#"{"name":"a","x":"?"}"#).into_bytes();
        let place = body.iter().position(|byte| *byte == b'?').expect("a mark");
        body.splice(place..=place, invalid.iter().copied());
        assert_eq!(Message::parse(&body), Err(MessageError::NotUtf8));
    }
}

#[test]
fn depth_and_numbers_are_bounded_where_nothing_is_judged() {
    let nested = |open: &str, close: &str, levels: usize| {
        let value = format!("{}1{}", open.repeat(levels), close.repeat(levels));
        parse(&call(&format!(r#"{{"name":"a","arguments":{value}}}"#)))
    };
    // The message and its params are two levels.
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert!(nested(open, close, 62).is_ok());
        assert_eq!(nested(open, close, 63), Err(MessageError::TooDeep));
        assert_eq!(nested(open, close, 100_000), Err(MessageError::TooDeep));
    }
    assert_eq!(
        parse(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        Err(MessageError::Batch)
    );
    let with = |value: &str| parse(&call(&format!(r#"{{"name":"a","arguments":{value}}}"#)));
    assert!(with("123456789012345678901234567890").is_ok());
    assert_eq!(with("1e400"), Err(MessageError::NotJson));
    assert_eq!(with(&"9".repeat(100_000)), Err(MessageError::NotJson));
}

#[test]
fn errors_repeat_nothing_of_the_request() {
    for text in [
        call(r#"{"name":["s3cret"]}"#),
        call(r#""s3cret""#),
        "\"s3cret\"".to_owned(),
        r#"{"s3cret""#.to_owned(),
    ] {
        let error = parse(&text).expect_err("no message");
        assert!(!error.to_string().contains("s3cret"));
    }
}
