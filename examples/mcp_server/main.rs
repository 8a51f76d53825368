//! An MCP server that MCP clients can log in to.
//!
//! Run `cargo run -p mcp_server -- ISSUER [ADDRESS [RESOURCE [ORIGIN...]]]`, then the `curl`
//! commands that it prints. RESOURCE is the URL of the server as clients know it, and the audience
//! of its tokens. Each ORIGIN is that of a web page that may call tools, such as
//! `http://localhost:6274` of the MCP inspector.
//!
//! The server follows the authorization chapters of MCP 2025-11-25 and 2026-07-28. A client finds
//! the issuer through the 401 (RFC 9728 §5.1, §3) and gets a token for this resource (RFC 8707). If
//! a tool needs more scopes, the 403 names them (RFC 6750 §3.1), and the client gets another token
//! ("Scope Challenge Handling").

use std::{
    env,
    error::Error,
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::Request,
    http::{Method, Uri, header::WWW_AUTHENTICATE, request::Parts},
    middleware::{Next, from_fn},
    response::Response,
};
use rmcp::{
    ErrorData,
    handler::server::{common::FromContextPart, tool::ToolCallContext, wrapper::Parameters},
    model::{ClientJsonRpcMessage, ClientRequest},
    schemars::{self, JsonSchema},
    tool, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use serde::Deserialize;
use tower_auth::{
    AuthenticateLayer, JwtAuth, Policy, Principal, RequireScopes, ResourceMetadata, jwt::Jwks,
    policy_fn,
};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use tracing::Level;
use tracing_subscriber::{filter::Targets, prelude::*};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let issuer = args.next().ok_or("usage: mcp_server ISSUER [ADDRESS [RESOURCE [ORIGIN...]]]")?;
    let address = args.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let resource = args.next().unwrap_or_else(|| format!("{url}/mcp"));
    let location: Uri = resource.parse()?;

    // Logs the reasons of rejections, which callers do not see.
    let rejections = Targets::new().with_target("tower_auth", Level::DEBUG);
    let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr);
    tracing_subscriber::registry().with(log.with_filter(rejections)).init();

    let metadata = ResourceMetadata::builder(&resource, [&issuer])
        .scopes(["notes:read", "notes:write"])
        .member("resource_name", "Notes")
        .build()?;
    let tokens = JwtAuth::builder(Jwks::discover(&issuer))
        .audience(&*resource)
        .resource_metadata(metadata.url())
        .challenge_scopes(["notes:read"])
        .build()?;

    let read = RequireScopes::all(["notes:read"]);
    let write = RequireScopes::all(["notes:read", "notes:write"]);
    let scopes = policy_fn("the scopes of the tool", move |caller, head| {
        match head.extensions.get::<Tool>() {
            None => read.evaluate(caller, head),
            Some(Tool(name)) if name == "list_notes" => read.evaluate(caller, head),
            // Any other tool requires all scopes.
            Some(_) => write.evaluate(caller, head),
        }
    });

    let config = StreamableHttpServerConfig::default()
        // Without sessions, no session can be hijacked: each message has its own token.
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // Protects against DNS rebinding, and against web pages that are not listed.
        .with_allowed_hosts(location.authority().map(ToString::to_string))
        .with_allowed_origins(args)
        .enforce_origin_validation();
    let notes = Notes::default();
    let sessions = Arc::new(NeverSessionManager::default());
    let server = StreamableHttpService::new(move || Ok(notes.clone()), sessions, config);

    // Answers preflights, which have no token, and lets clients in browsers read the challenge. Any
    // page may, because a browser does not send tokens by itself.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([WWW_AUTHENTICATE]);

    let app = Router::new()
        .route_service(location.path(), server)
        .layer(scopes)
        .layer(from_fn(insert_tool))
        .layer(AuthenticateLayer::new(tokens))
        .layer(cors)
        .layer(metadata.clone());

    println!("listening on {url}");
    println!("curl -i {url}{} # 401", location.path());
    println!("curl -i {url}{} # 200", metadata.path());
    println!("{resource} # what an MCP client asks for");
    Ok(axum::serve(listener, app).await?)
}

/// The tool that a request calls.
#[derive(Clone)]
struct Tool(String);

/// Inserts the called tool into the extensions, because policies see only the head of a request.
///
/// The body is parsed with rmcp's own types, so that rmcp cannot read another tool from it. axum's
/// limit for bodies applies.
async fn insert_tool(mut head: Parts, body: Bytes, next: Next) -> Response {
    if let Ok(ClientJsonRpcMessage::Request(message)) = serde_json::from_slice(&body)
        && let ClientRequest::CallToolRequest(call) = message.request
    {
        head.extensions.insert(Tool(call.params.name.into_owned()));
    }
    next.run(Request::from_parts(head, body.into())).await
}

/// Notes, each with its owner.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<(String, String)>>>);

#[derive(Deserialize, JsonSchema)]
struct Note {
    text: String,
}

#[tool_router(server_handler)]
impl Notes {
    #[tool(description = "Lists your notes", annotations(read_only_hint = true))]
    fn list_notes(&self, Caller(caller): Caller) -> String {
        let notes = self.0.lock().unwrap();
        let yours = notes.iter().filter(|(owner, _)| owner == caller.subject());
        let texts: Vec<_> = yours.map(|(_, text)| text.as_str()).collect();
        format!("notes of {}: {}", caller.subject(), texts.join(", "))
    }

    #[tool(description = "Adds a note to yours")]
    fn add_note(&self, Caller(caller): Caller, Parameters(note): Parameters<Note>) -> String {
        let answer = format!("added for {}: {}", caller.subject(), note.text);
        self.0.lock().unwrap().push((caller.subject().to_owned(), note.text));
        answer
    }
}

/// Extracts the caller as an argument of a tool.
///
/// rmcp passes the head of the request on, and `AuthenticateLayer` has stored the principal there.
struct Caller(Principal);

impl FromContextPart<ToolCallContext<'_, Notes>> for Caller {
    fn from_context_part(call: &mut ToolCallContext<'_, Notes>) -> Result<Self, ErrorData> {
        let head = call.request_context.extensions.get::<Parts>();
        let caller = head.and_then(|head| head.extensions.get::<Principal>());
        caller
            .map(|caller| Self(caller.clone()))
            .ok_or_else(|| ErrorData::internal_error("AuthenticateLayer is missing", None))
    }
}
