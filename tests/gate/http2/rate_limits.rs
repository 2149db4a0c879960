//! Rate limits over HTTP/2.

use http::Request;

use super::client;
use harness::Gateway;

#[test]
fn limits_count_streams_as_requests() {
    let gateway = Gateway::start(
        "[limits.open]\nrequests = 100\nper = \"1h\"\nburst = 2\nkey = \"address\"\n\
         [[routes]]\npath = \"/a\"\npublic = true\nlimit = \"open\"\nrespond = { status = 204 }\n",
    );
    let ask = || {
        let request = Request::builder().uri("http://a/a").body(());
        client::ask(gateway.address, request.expect("a request"), b"", None)
    };
    let first = ask();
    assert_eq!(first.status, 204);
    assert_eq!(first.header("ratelimit"), Some("\"open\";r=1;t=36"));
    assert_eq!(ask().status, 204);
    let refused = ask();
    assert_eq!(refused.status, 429);
    let policy = "\"open\";q=100;w=3600;scopegate-burst=2";
    assert_eq!(refused.header("ratelimit-policy"), Some(policy));
    assert!(refused.header("retry-after").is_some());
}
