//! The description of the API, generated from the code: `/openapi.json` for machines, `/docs` for people.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use serde_json::Value;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};

use crate::app::App;
use crate::http::page::{ApiDocsPage, DocField, DocOperation, DocResponse, DocSchema};

/// What is not in the handlers: titles, tags, how to authenticate.
pub fn frame() -> OpenApi {
    #[derive(utoipa::OpenApi)]
    #[openapi(
        info(
            title = "Countersign API",
            description = "Sends one-time codes to phones and mailboxes, and checks them. Every failure is a problem document \
                (RFC 9457) with a stable `code`; docs/errors.md explains each.",
            license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        ),
        servers((url = "/", description = "This server")),
        tags(
            (name = "Verifications", description = "One code, from start to its end."),
            (name = "Sign-in", description = "People, from their registration to their session. In production: `[accounts] enabled`."),
            (name = "Account", description = "What people who are signed in do with their account."),
            (name = "Accounts", description = "What operators do with people's accounts."),
            (name = "Operation", description = "For whoever helps people who are stuck."),
        ),
    )]
    struct Frame;

    let mut openapi = Frame::openapi();
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.description = Some(
        "A client's key (`csk_…`), from `countersign client create`; or an access token that `POST /oauth2/token` gave for it, where that is switched on."
            .into(),
    );
    let components = openapi.components.get_or_insert_default();
    components.add_security_scheme("client_key", SecurityScheme::Http(scheme));
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.description = Some("A person's access token, from a sign-in.".into());
    components.add_security_scheme("access_token", SecurityScheme::Http(scheme));
    let cookie = ApiKeyValue::with_description("countersign_session", "A person's session (over TLS: `__Host-countersign_session`).");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    openapi
}

/// `/openapi.json` and `/docs`, both made once.
pub fn router(openapi: OpenApi) -> Router<Arc<App>> {
    let mut description = serde_json::to_value(&openapi).unwrap_or_default();
    add_links(&mut description);
    let json = serde_json::to_string_pretty(&description).unwrap_or_default();
    let page = docs(&description).html();
    let serve_json = move || async move { ([(header::CONTENT_TYPE, "application/json")], json).into_response() };
    let serve_page = move || async move { Html(page) };
    Router::new().route("/openapi.json", get(serve_json)).route("/docs", get(serve_page))
}

/// A start leads to what can be done with its id (OpenAPI links): clients see it, and testers walk it.
fn add_links(description: &mut Value) {
    let by_id = |operation: &str| serde_json::json!({ "operationId": operation, "parameters": { "id": "$response.body#/id" } });
    let links = serde_json::json!({
        "check": by_id("checkVerification"),
        "resend": by_id("resendVerification"),
        "get": by_id("getVerification"),
        "cancel": by_id("cancelVerification"),
    });
    if let Some(created) = description.pointer_mut("/paths/~1v1~1verifications/post/responses/201") {
        created["links"] = links;
    }
}

fn docs(description: &Value) -> ApiDocsPage {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let schemas = description["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let mut operations = Vec::new();
    for (path, item) in description["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            operations.push(operation_of(path, method, operation, &schemas));
        }
    }
    // Operations of one tag side by side, in the order of a verification's life.
    let order = ["startVerification", "checkVerification", "checkDestination", "resendVerification", "cancelVerification"];
    operations.sort_by_key(|operation| {
        let place = order.iter().position(|id| *id == operation.id).unwrap_or(order.len());
        (operation.tag != "Verifications", place, operation.id.clone())
    });
    let schemas = schemas.iter().map(|(name, schema)| DocSchema {
        name: name.clone(),
        description: text(schema, "description"),
        fields: fields_of(schema, "", &schemas),
    });
    ApiDocsPage {
        title: text(&description["info"], "title"),
        version: text(&description["info"], "version"),
        description: text(&description["info"], "description").replace('`', ""),
        operations,
        schemas: schemas.filter(|schema| !schema.fields.is_empty()).collect(),
    }
}

type Schemas = serde_json::Map<String, Value>;

fn operation_of(path: &str, method: &str, operation: &Value, schemas: &Schemas) -> DocOperation {
    let text = |name: &str| operation[name].as_str().unwrap_or_default().to_owned();
    let parameters = operation["parameters"].as_array().into_iter().flatten().map(|parameter| DocField {
        name: parameter["name"].as_str().unwrap_or_default().into(),
        place: parameter["in"].as_str().unwrap_or_default().into(),
        kind: kind_of(&parameter["schema"]),
        description: plain(&parameter["description"]),
        required: parameter["required"].as_bool().unwrap_or(false),
    });
    let body = operation.pointer("/requestBody/content/application~1json/schema").map(|schema| resolved(schema, schemas));
    let request = body.map(|schema| example_of(schema, schemas, true));
    let responses = operation["responses"].as_object().into_iter().flatten().map(|(status, response)| {
        let schema = response.pointer("/content/application~1json/schema");
        DocResponse {
            status: status.clone(),
            description: plain(&response["description"]),
            example: schema.map(|schema| pretty(&example_of(schema, schemas, false))).unwrap_or_default(),
        }
    });
    DocOperation {
        id: text("operationId"),
        method: method.to_owned(),
        path: path.to_owned(),
        tag: operation["tags"][0].as_str().unwrap_or_default().into(),
        summary: text("summary"),
        description: plain(&operation["description"]),
        secured: operation["security"].as_array().is_some_and(|security| !security.is_empty()),
        parameters: parameters.collect(),
        request_fields: body.map(|schema| fields_of(schema, "body", schemas)).unwrap_or_default(),
        curl: curl(path, method, request.as_ref()),
        request_example: request.map(|request| pretty(&request)).unwrap_or_default(),
        responses: responses.collect(),
    }
}

fn curl(path: &str, method: &str, request: Option<&Value>) -> String {
    let path = path.replace("{id}", "$ID");
    let query = if method == "get" && !path.contains("$ID") { "?to=%2B4915112345678" } else { "" };
    let mut line = format!("curl -H \"Authorization: Bearer $KEY\" \"http://127.0.0.1:8080{path}{query}\"");
    match request {
        Some(request) => line.push_str(&format!(" \\\n  --json '{request}'")),
        None if method == "post" => line.push_str(" -X POST"),
        None => {}
    }
    line
}

fn fields_of(schema: &Value, place: &str, schemas: &Schemas) -> Vec<DocField> {
    let mut fields = Vec::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fields.extend(fields_of(resolved(part, schemas), place, schemas));
    }
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        fields.push(DocField {
            name: name.clone(),
            place: place.into(),
            kind: kind_of(property),
            description: plain(&property["description"]),
            required: required.iter().any(|required| required == name),
        });
    }
    // What must be given first.
    fields.sort_by_key(|field| !field.required);
    fields
}

fn resolved<'a>(schema: &'a Value, schemas: &'a Schemas) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    name.and_then(|name| schemas.get(name)).unwrap_or(schema)
}

fn kind_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(choice) = schema["oneOf"].as_array().and_then(|choices| choices.iter().find(|choice| choice["type"] != "null")) {
        return kind_of(choice);
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect::<Vec<_>>().join(" or "),
        _ => "object".into(),
    };
    match schema["format"].as_str() {
        Some(format) => format!("{kind} ({format})"),
        None => kind,
    }
}

/// An example of a schema, from the examples of its fields. Of a request: only what must be given.
fn example_of(schema: &Value, schemas: &Schemas, request: bool) -> Value {
    let schema = resolved(schema, schemas);
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    if let Some(choice) = schema["oneOf"].as_array().and_then(|choices| choices.iter().find(|choice| choice["type"] != "null")) {
        return example_of(choice, schemas, request);
    }
    let parts = schema["allOf"].as_array();
    if schema["type"] == "object" || parts.is_some() {
        let mut fields = BTreeMap::new();
        for part in parts.into_iter().flatten() {
            if let Value::Object(object) = example_of(part, schemas, request) {
                fields.extend(object);
            }
        }
        let required = schema["required"].as_array();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = required.is_some_and(|required| required.iter().any(|required| required == name));
            if is_required || !request {
                fields.insert(name.clone(), example_of(property, schemas, request));
            }
        }
        return serde_json::to_value(fields).unwrap_or_default();
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("array"), _) => Value::Array(vec![example_of(&schema["items"], schemas, request)]),
        (Some("boolean"), _) => Value::Bool(true),
        (Some("integer"), _) => 1.into(),
        (_, Some("uuid")) => "019a64b2-7d70-7c1e-9f3a-5b0c6d7e8f90".into(),
        (_, Some("date-time")) => "2026-11-21T08:00:00Z".into(),
        _ => "…".into(),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn plain(text: &Value) -> String {
    text.as_str().unwrap_or_default().replace('`', "")
}
