//! Tokens that others sign, with keys that they publish and change (JWKS).

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, routing::get};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use reqwest::Method;
use serde_json::{Value, json};

use super::keys::KeyPair;
use crate::{
    answers::Expect,
    app::{Backend, TestApp, within},
};

crate::both_backends!(
    a_file_of_keys_is_replaced_without_a_restart,
    an_unknown_key_is_asked_for_and_strangers_make_no_storm,
    an_issuer_that_is_away_takes_nothing_from_its_keys,
    the_key_alone_decides_about_the_algorithm,
);

/// A pair of keys with the id that it is published under.
pub struct Signer {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    pub fn new(kid: &str) -> Self {
        let pair = KeyPair::make(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        let key = EncodingKey::from_ec_pem(&pair.private).unwrap();
        Self { kid: kid.to_owned(), algorithm: Algorithm::ES256, key }
    }

    /// The public key, as it is published.
    pub fn published(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.clone());
        serde_json::to_value(jwk).unwrap()
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }

    fn token(&self) -> String {
        let exp = chrono::Utc::now().timestamp() + 3600;
        self.sign(&json!({ "sub": "admin", "scope": "audit:read", "exp": exp }))
    }
}

/// Keys as they are published.
pub fn set(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.published()).collect::<Vec<_>>() }).to_string()
}

/// An issuer with an address of its own.
pub struct Issuer {
    pub url: String,
    pub keys: Arc<Mutex<String>>,
    pub asked: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
}

impl Issuer {
    pub async fn start(keys: String) -> Self {
        let (keys, asked) = (Arc::new(Mutex::new(keys)), Arc::new(AtomicUsize::new(0)));
        let (told, counted) = (Arc::clone(&keys), Arc::clone(&asked));
        let answer = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let keys = told.lock().unwrap().clone();
            async move { keys }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let serving =
            tokio::spawn(async move { axum::serve(listener, Router::new().route("/keys", get(answer))).await.unwrap() });
        Self { url, keys, asked, serving }
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn status(app: &TestApp, token: &str) -> u16 {
    app.anonymous(Method::GET, "/api/audit").bearer_auth(token).send().await.unwrap().status().as_u16()
}

fn file() -> PathBuf {
    std::env::temp_dir().join(format!("scoreboard-jwks-{}.json", uuid::Uuid::new_v4().simple()))
}

async fn a_file_of_keys_is_replaced_without_a_restart(backend: Backend) {
    let (old, new, path) = (Signer::new("old"), Signer::new("new"), file());
    std::fs::write(&path, set(&[&old])).unwrap();
    let app = TestApp::spawn_with(backend, &[&format!("--jwt-jwks-file={}", path.display())]).await;
    assert_eq!(status(&app, &old.token()).await, 200);
    assert_eq!(status(&app, &new.token()).await, 401);
    assert_eq!(status(&app, &app.token("admin", "audit:read")).await, 200, "the server's own key is good as before");
    std::fs::write(&path, set(&[&new])).unwrap();
    within(5, "the new key counts, and the old one no longer", || async {
        status(&app, &new.token()).await == 200 && status(&app, &old.token()).await == 401
    })
    .await;
    std::fs::write(&path, "half of a fi").unwrap();
    let later = Signer::new("later");
    std::fs::write(&path, set(&[&new, &later])).unwrap();
    within(5, "another key counts", || async { status(&app, &later.token()).await == 200 }).await;
    assert_eq!(status(&app, &new.token()).await, 200);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(status(&app, &new.token()).await, 200, "a file that is missing for a moment changes nothing");
}

async fn an_unknown_key_is_asked_for_and_strangers_make_no_storm(backend: Backend) {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let issuer = Issuer::start(set(&[&old])).await;
    let app = TestApp::spawn_with(backend, &[&format!("--jwt-jwks-url={}", issuer.url)]).await;
    within(5, "the issuer was asked", || async { status(&app, &old.token()).await == 200 }).await;
    let strangers: Vec<_> = (0..50).map(|number| Signer::new(&format!("stranger-{number}")).token()).collect();
    let refused = futures_util::future::join_all(strangers.iter().map(|token| status(&app, token))).await;
    assert!(refused.iter().all(|status| *status == 401));
    assert!(issuer.asked.load(Ordering::Relaxed) <= 2, "{:?}", issuer.asked);

    *issuer.keys.lock().unwrap() = set(&[&old, &new]);
    within(40, "the new key is found", || async { status(&app, &new.token()).await == 200 }).await;
    assert!(issuer.asked.load(Ordering::Relaxed) <= 3, "{:?}", issuer.asked);
    assert_eq!(status(&app, &old.token()).await, 200);
}

async fn an_issuer_that_is_away_takes_nothing_from_its_keys(backend: Backend) {
    let signer = Signer::new("only");
    let issuer = Issuer::start(set(&[&signer])).await;
    let app = TestApp::spawn_with(backend, &[&format!("--jwt-jwks-url={}", issuer.url)]).await;
    within(5, "the issuer was asked", || async { status(&app, &signer.token()).await == 200 }).await;
    drop(issuer);
    assert_eq!(status(&app, &Signer::new("other").token()).await, 401);
    assert_eq!(status(&app, &signer.token()).await, 200);
    let fresh = signer.sign(&json!({ "sub": "somebody", "scope": "audit:read", "exp": 4_000_000_000_u64 }));
    assert_eq!(status(&app, &fresh).await, 200);
}

async fn the_key_alone_decides_about_the_algorithm(backend: Backend) {
    let (signer, path) = (Signer::new("only"), file());
    let published = set(&[&signer]);
    std::fs::write(&path, &published).unwrap();
    let flags = [&*format!("--jwt-jwks-file={}", path.display()), "--jwt-issuer=studio", "--jwt-audience=board"];
    let app = TestApp::spawn_with(backend, &flags).await;
    let claims =
        |iss: &str, aud: &str| json!({ "sub": "a", "scope": "audit:read", "exp": 4_000_000_000_u64, "iss": iss, "aud": aud });
    assert_eq!(status(&app, &signer.sign(&claims("studio", "board"))).await, 200);
    for (iss, aud) in [("other", "board"), ("studio", "other")] {
        assert_eq!(status(&app, &signer.sign(&claims(iss, aud))).await, 401, "{iss} {aud}");
    }
    // What is public is no secret, whatever a token says of its algorithm.
    let x = signer.published()["x"].as_str().unwrap().to_owned();
    for secret in [published.as_bytes(), x.as_bytes(), signer.published().to_string().as_bytes()] {
        let header = Header { kid: Some("only".into()), ..Header::new(Algorithm::HS256) };
        let forged = jsonwebtoken::encode(&header, &claims("studio", "board"), &EncodingKey::from_secret(secret)).unwrap();
        assert_eq!(status(&app, &forged).await, 401);
    }
    let signed = signer.sign(&claims("studio", "board"));
    let unsigned = json!({ "alg": "none", "kid": "only" }).to_string();
    let none = format!("{}.{}.", base64_url(&unsigned), signed.split('.').nth(1).unwrap());
    assert_eq!(status(&app, &none).await, 401);
    let refused = app.anonymous(Method::GET, "/api/audit").bearer_auth(none).refused(401).await;
    assert!(refused["detail"].is_string());
    std::fs::remove_file(&path).unwrap();
}

fn base64_url(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(text)
}
