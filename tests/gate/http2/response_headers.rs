//! `response_headers` over HTTP/2 and for gRPC calls.

use http::Request;

use super::client;
use harness::{Gateway, Reply, Server};

#[test]
fn forwarded_responses_and_refusals_follow_the_rules() {
    let upstream =
        Server::start(|_| Reply::new(200, &[("Server", "up/1"), ("X-A", "up")], "hello"));
    let gateway = Gateway::start(&format!(
        "[server]\nresponse_headers = {{ set = {{ \"X-A\" = \"gate\" }}, remove = \"Server\" }}\n\
         [issuers.corp]\nissuer = \"http://127.0.0.1:1\"\naudience = \"any\"\n\
         [upstreams.up]\ntargets = \"http://{}\"\n[upstreams.gone]\ntargets = \"http://127.0.0.1:1\"\nretries = 0\n\
         [[routes]]\npath = \"/public\"\npublic = true\nupstream = \"up\"\n\
         [[routes]]\npath = \"/scoped\"\nscope = \"read\"\nupstream = \"up\"\n\
         [[routes]]\npath = \"/gone\"\npublic = true\nupstream = \"gone\"\n",
        upstream.address
    ));
    for (path, status, grpc_status) in [
        ("/public", 200, None),
        ("/scoped", 401, Some("16")),
        ("/nowhere", 404, Some("12")),
        ("/gone", 502, Some("14")),
    ] {
        for is_grpc in [false, true] {
            let mut request = Request::post(format!("http://api.test{path}"));
            if is_grpc {
                request = request.header("content-type", "application/grpc");
            }
            let request = request.body(()).expect("a request");
            let response = client::ask(gateway.address, request, b"", None);
            assert_eq!(response.status, status, "{path}");
            assert_eq!(response.header("x-a"), Some("gate"), "{path} {is_grpc}");
            assert_eq!(response.header("server"), None, "{path} {is_grpc}");
            let grpc_status = grpc_status.filter(|_| is_grpc);
            assert_eq!(response.header("grpc-status"), grpc_status, "{path}");
            if status != 200 {
                let content_type = if is_grpc {
                    "application/grpc"
                } else {
                    "application/problem+json"
                };
                assert_eq!(
                    response.header("content-type"),
                    Some(content_type),
                    "{path}"
                );
            }
        }
    }
}
