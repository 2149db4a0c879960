//! A small MCP server for `../gateway.toml`. It has no authorization of its own: the gateway
//! in front of it decides who may call which tool.
//!
//!     cargo run --package mcp-server-example [ADDRESS]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    Implementation, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, object};
use tokio::net::TcpListener;

/// Notes by name.
#[derive(Clone)]
struct Notes(Arc<Mutex<BTreeMap<String, String>>>);

impl Notes {
    fn new() -> Self {
        let first = ("welcome".to_owned(), "Notes are kept in memory.".to_owned());
        Self(Arc::new(Mutex::new(BTreeMap::from([first]))))
    }

    /// Calls a tool. An error is for the person or model that chose the arguments.
    fn call(&self, tool: &str, note: &str) -> Result<String, String> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || format!("there is no note {note:?}");
        match tool {
            "read_note" => notes.get(note).cloned().ok_or_else(unknown),
            "delete_note" => {
                let removed = notes.remove(note).ok_or_else(unknown)?;
                Ok(format!("deleted: {removed}"))
            }
            _ => Err(format!("there is no tool {tool:?}")),
        }
    }
}

impl ServerHandler for Notes {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("notes", "1"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let argument = object!({
            "type": "object",
            "properties": { "name": { "type": "string", "description": "The name of the note" } },
            "required": ["name"],
        });
        Ok(ListToolsResult::with_all_items(vec![
            Tool::new("read_note", "Reads a note", argument.clone()),
            Tool::new("delete_note", "Deletes a note", argument),
        ]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let name = arguments.get("name").and_then(|name| name.as_str());
        let name =
            name.ok_or_else(|| ErrorData::invalid_params("expected the name of a note", None))?;
        Ok(match self.call(&request.name, name) {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]).into(),
            Err(text) => CallToolResult::error(vec![ContentBlock::text(text)]).into(),
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:9000")).await?;
    // A script that starts this server reads the port from the line.
    println!("http://{}/mcp", listener.local_addr()?);
    std::io::stdout().flush()?;

    let notes = Notes::new();
    // Each response is JSON and stands alone, for clients of every revision.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(notes.clone()), sessions, config);
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(service.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("{error}");
            }
        });
    }
}
