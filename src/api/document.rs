//! The OpenAPI document, made from the table of endpoints.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::endpoints::{Endpoint, Gives};
use super::table::ENDPOINTS;
use super::{BASE, DOCUMENT};

/// Stands for `server.prefix`, which is set while the server runs.
const PREFIX: &str = "/{prefix}";

/// The document for that prefix.
pub(super) fn text(prefix: &str) -> String {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    TEXT.replacen(PREFIX, prefix, 1)
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let described = described(endpoint, &mut generator);
        let path = paths
            .entry(endpoint.path)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.method.as_str().to_ascii_lowercase(), described);
        }
    }
    paths.insert(DOCUMENT.into(), itself());
    let mut schemas: Map<String, Value> = generator.take_definitions(true);
    schemas.insert("Problem".into(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sidegate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the command line does, over HTTP. Every change is in force on every core when it is \
                answered, and in the audit file before it is made.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": format!("{PREFIX}{BASE}") }],
        "security": [{ "bearer": [] }, { "header": [] }, { "login": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Problem": {
                    "description": "Nothing was done; `detail` says why and what to do (RFC 9457).",
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
                },
            },
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "An API token." },
                "header": { "type": "apiKey", "in": "header", "name": "X-OPENHAB-TOKEN", "description": "The same." },
                "login": {
                    "type": "apiKey", "in": "cookie", "name": "__Host-sidegate",
                    "description": "A login; on plain http the cookie is called sidegate. What changes something must come \
                        from a page of the same host.",
                },
            },
        },
    })
}

fn described(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> Value {
    let parts = endpoint.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
    });
    let query = endpoint.query.iter().map(|parameter| {
        json!({
            "name": parameter.name, "in": "query", "description": parameter.about,
            "schema": { "type": "string" },
        })
    });
    let parameters: Vec<Value> = parts.chain(query).collect();
    let mut responses = Map::new();
    responses.insert(
        endpoint.gives.status().as_str().into(),
        given(endpoint.gives, generator),
    );
    responses.insert(
        "default".into(),
        json!({ "$ref": "#/components/responses/Problem" }),
    );
    let mut described = json!({
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": endpoint.whose.sentence(),
        "parameters": parameters,
        "responses": responses,
    });
    if let (Some(takes), Some(described)) = (endpoint.takes, described.as_object_mut()) {
        let body = json!({
            "required": true,
            "content": { "application/json": { "schema": takes(generator) } },
        });
        described.insert("requestBody".into(), body);
    }
    described
}

fn given(gives: Gives, generator: &mut SchemaGenerator) -> Value {
    let (member, schema): (&str, Schema) = match gives {
        Gives::Nothing => return json!({ "description": "Done, and in force." }),
        Gives::One(member, schema) | Gives::New(member, schema) => (member, schema(generator)),
    };
    json!({
        "description": "Done, and in force.",
        "content": { "application/json": { "schema": {
            "type": "object",
            "properties": { member: schema },
            "required": [member],
        } } },
    })
}

fn itself() -> Value {
    json!({
        "get": {
            "operationId": "showDocument",
            "summary": "This document",
            "description": "For everybody.",
            "security": [],
            "responses": { "200": { "description": "OpenAPI 3.1.", "content": { "application/json": {} } } },
        },
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "request_id": { "type": "string", "description": "What the log and the audit file call the request." },
        },
        "required": ["type", "title", "status", "request_id"],
    })
}
