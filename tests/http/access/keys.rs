//! The keys that tokens are checked with.

use std::{os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use scoreboard::{app::start, config::Settings, domain::time::Clock};
use serde_json::json;

use crate::{
    answers::Expect,
    app::{Backend, TestApp},
};

crate::both_backends!(a_public_key_fixes_its_algorithm, a_secret_is_made_and_kept_where_none_is_given);

/// A fresh pair of keys as PEM files in a directory of its own, made by the program `openssl`.
pub struct KeyPair {
    directory: PathBuf,
    pub private: Vec<u8>,
    public: Vec<u8>,
}

impl KeyPair {
    pub fn make(genpkey: &[&str]) -> Self {
        let directory = std::env::temp_dir().join(format!("scoreboard-keys-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&directory).unwrap();
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).current_dir(&directory).output();
            let output = output.expect("the program openssl is needed to make keys");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        openssl(&[&["genpkey", "-out", "private.pem"], genpkey].concat());
        openssl(&["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"]);
        let read = |name: &str| std::fs::read(directory.join(name)).unwrap();
        Self { private: read("private.pem"), public: read("public.pem"), directory }
    }

    /// Runs `openssl` where the keys lie.
    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.directory).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Where one of its files lies.
    pub fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}

impl Drop for KeyPair {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

type FromPem = fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>;

const KINDS: [(Algorithm, &[&str], FromPem); 4] = [
    (Algorithm::RS256, &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], EncodingKey::from_rsa_pem),
    (Algorithm::ES256, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], EncodingKey::from_ec_pem),
    (Algorithm::ES384, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], EncodingKey::from_ec_pem),
    (Algorithm::EdDSA, &["-algorithm", "ed25519"], EncodingKey::from_ed_pem),
];

fn token(algorithm: Algorithm, key: &EncodingKey) -> String {
    let exp = chrono::Utc::now().timestamp() + 3600;
    let claims = json!({"sub": "admin", "scope": "leaderboards:admin", "exp": exp});
    jsonwebtoken::encode(&Header::new(algorithm), &claims, key).unwrap()
}

async fn status(app: &TestApp, token: &str) -> u16 {
    let request = app.anonymous(Method::PATCH, "/api/leaderboards/main").bearer_auth(token).json(&json!({}));
    request.send().await.unwrap().status().as_u16()
}

async fn a_public_key_fixes_its_algorithm(backend: Backend) {
    for (algorithm, genpkey, from_pem) in KINDS {
        let (pair, stranger) = (KeyPair::make(genpkey), KeyPair::make(genpkey));
        let flag = format!("--jwt-public-key-file={}", pair.path("public.pem"));
        let app = TestApp::spawn_bare(backend, &[&flag]).await;
        assert_eq!(status(&app, &token(algorithm, &from_pem(&pair.private).unwrap())).await, 200, "{algorithm:?}");
        assert_eq!(status(&app, &token(algorithm, &from_pem(&stranger.private).unwrap())).await, 401, "{algorithm:?}");
        // The public key is no secret: a token "signed" with it as an HMAC secret must be worth nothing.
        for secret in [&pair.public[..], pair.public.trim_ascii_end()] {
            let forged = token(Algorithm::HS256, &EncodingKey::from_secret(secret));
            assert_eq!(status(&app, &forged).await, 401, "{algorithm:?} as a secret");
        }
        if algorithm == Algorithm::RS256 {
            let other = token(Algorithm::RS512, &from_pem(&pair.private).unwrap());
            assert_eq!(status(&app, &other).await, 401, "the key's owner does not choose the algorithm either");
        }
    }
}

async fn a_secret_is_made_and_kept_where_none_is_given(backend: Backend) {
    let mut app = TestApp::spawn_bare(backend, &["--jwt-secret="]).await;
    let path = app.settings.storage.data_dir.join("jwt-secret");
    let (secret, mode) = (std::fs::read(&path).unwrap(), std::fs::metadata(&path).unwrap().permissions().mode());
    assert_eq!(mode & 0o777, 0o600);
    assert!(secret.len() >= 32, "{}", secret.len());
    let token = app.token("admin", "leaderboards:admin");
    assert_eq!(status(&app, &token).await, 200);
    app.restart().await;
    assert_eq!(std::fs::read(&path).unwrap(), secret);
    assert_eq!(status(&app, &token).await, 200, "tokens outlive a restart");

    let other = TestApp::spawn_bare(Backend::Embedded, &[]).await;
    assert_eq!(status(&other, &token).await, 401, "each installation has a secret of its own");
    other.anonymous(Method::GET, "/api/leaderboard").answers(200).await;
}

/// Why a server with these flags does not start.
async fn refusal(flags: &[&str]) -> String {
    let directory = std::env::temp_dir().join(format!("scoreboard-refused-{}", uuid::Uuid::new_v4().simple()));
    let mut all = vec![format!("--data-dir={}", directory.display()), "--listen-addr=127.0.0.1:0".to_owned()];
    all.extend(flags.iter().map(|&flag| flag.to_owned()));
    let settings = Settings::from_flags(all).unwrap();
    let error = start(&settings, Clock::system()).await.map(|_| ()).expect_err("the server must not start");
    assert!(!directory.exists(), "nothing was made");
    format!("{error:#}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_refuses_to_start_with_a_weak_or_wrong_key() {
    let short = refusal(&[&format!("--jwt-secret={}", "x".repeat(31))]).await;
    assert!(short.contains("JWT_SECRET") && short.contains("32") && !short.contains("xxx"), "{short}");

    let pair = KeyPair::make(KINDS[3].1);
    let private = refusal(&[&format!("--jwt-public-key-file={}", pair.path("private.pem"))]).await;
    assert!(private.contains("private key"), "{private}");
    let missing = refusal(&[&format!("--jwt-public-key-file={}", pair.path("no-such.pem"))]).await;
    assert!(missing.contains("JWT_PUBLIC_KEY_FILE"), "{missing}");
    std::fs::write(pair.directory.join("noise.pem"), "not a key").unwrap();
    let noise = refusal(&[&format!("--jwt-public-key-file={}", pair.path("noise.pem"))]).await;
    assert!(noise.contains("JWT_PUBLIC_KEY_FILE"), "{noise}");

    let secret = format!("--jwt-secret={}", "x".repeat(32));
    for (flag, why) in [
        ("--jwt-jwks-url=http://id.example.com/keys", "https"),
        ("--jwt-jwks-url=keys.json", "JWT_JWKS_URL"),
        ("--jwt-jwks-file=/nowhere/keys.json", "JWT_JWKS_FILE"),
        (&*format!("--jwt-jwks-file={}", pair.path("noise.pem")), "JWKS"),
    ] {
        let refused = refusal(&[&secret, flag]).await;
        assert!(refused.contains(why), "{flag}: {refused}");
    }
    let both = refusal(&[&secret, &format!("--jwt-public-key-file={}", pair.path("public.pem"))]).await;
    assert!(both.contains("not both"), "{both}");
}

/// The flag that names a key file.
fn key_file(pair: &KeyPair, name: &str) -> String {
    format!("--jwt-public-key-file={}", pair.path(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_could_never_check_a_token_is_refused_at_the_start() {
    for (kind, why) in [
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"][..], "not supported"),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], "not supported"),
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "2048 to 8192 bits"),
        (&["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"], "not PSS"),
        (&["-algorithm", "ed448"], "not supported"),
        (&["-algorithm", "x25519"], "not supported"),
    ] {
        let pair = KeyPair::make(kind);
        let reason = refusal(&[&key_file(&pair, "public.pem")]).await;
        assert!(reason.contains("JWT_PUBLIC_KEY_FILE") && reason.contains(why), "{kind:?}: {reason}");
    }
    let pair = KeyPair::make(KINDS[1].1);
    let other = KeyPair::make(KINDS[1].1);
    let text = String::from_utf8(pair.public.clone()).unwrap();
    for (name, content, why) in [
        ("two.pem", format!("{text}{}", String::from_utf8_lossy(&other.public)), "2 keys"),
        ("both.pem", format!("{text}{}", String::from_utf8_lossy(&pair.private)), "private key"),
        ("empty.pem", String::new(), "0 keys"),
        ("cut.pem", text[..text.len() / 2].to_owned(), "0 keys"),
        ("torn.pem", text.replace("MFkw", "MFkx"), "not supported"),
        ("csr.pem", text.replace("PUBLIC KEY", "CERTIFICATE REQUEST"), "CERTIFICATE REQUEST"),
    ] {
        std::fs::write(pair.directory.join(name), content).unwrap();
        let reason = refusal(&[&key_file(&pair, name)]).await;
        assert!(reason.contains("JWT_PUBLIC_KEY_FILE") && reason.contains(why), "{name}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_taken_from_a_certificate_and_from_pkcs_1_as_well() {
    let pair = KeyPair::make(KINDS[1].1);
    pair.openssl(&["req", "-x509", "-key", "private.pem", "-subj", "/CN=issuer", "-out", "certificate.pem"]);
    let app = TestApp::spawn_bare(Backend::Embedded, &[&key_file(&pair, "certificate.pem")]).await;
    assert_eq!(status(&app, &token(Algorithm::ES256, &EncodingKey::from_ec_pem(&pair.private).unwrap())).await, 200);

    let pair = KeyPair::make(KINDS[0].1);
    pair.openssl(&["rsa", "-pubin", "-in", "public.pem", "-RSAPublicKey_out", "-out", "pkcs1.pem"]);
    let app = TestApp::spawn_bare(Backend::Embedded, &[&key_file(&pair, "pkcs1.pem")]).await;
    assert_eq!(status(&app, &token(Algorithm::RS256, &EncodingKey::from_rsa_pem(&pair.private).unwrap())).await, 200);
}
