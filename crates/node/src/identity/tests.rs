use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier as _;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::{PrivateKeyDer, ServerName, UnixTime};
use tempfile::TempDir;

use super::*;

const CHAIN_ID: ChainId = ChainId([7; 16]);

fn identity(ca: &Ca, name: &str) -> Identity {
    ca.issue_identity(NodeKey::generate().unwrap(), name)
        .unwrap()
}

/// Shakes hands in memory; gives the first refusal.
fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from("peer").unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok((client, server))
}

fn shake_hands(
    client: &Identity,
    expected: NodeId,
    server: &Identity,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    shake(
        client.client_config(expected).unwrap(),
        server.server_config().unwrap(),
    )
}

#[test]
fn an_identity_survives_saving() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("identity");
    let ca = create_ca(CHAIN_ID).unwrap();
    let saved = identity(&ca, "n1");
    saved.save(&folder).unwrap();
    let loaded = Identity::load(&folder).unwrap();
    assert_eq!(loaded.node(), saved.node());
    assert_eq!(loaded.chain(), CHAIN_ID);
    assert_eq!(loaded.certificate(), saved.certificate());
    assert_eq!(loaded.ca_pem(), ca.certificate_pem());
    let mode = fs::metadata(folder.join(KEY)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    assert!(saved.save(&folder).is_err(), "never overwritten");
}

#[test]
fn files_of_another_node_are_noticed() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let ca = create_ca(CHAIN_ID).unwrap();
    identity(&ca, "n1").save(one.path()).unwrap();
    identity(&ca, "n2").save(two.path()).unwrap();
    fs::copy(two.path().join(CERTIFICATE), one.path().join(CERTIFICATE)).unwrap();
    let error = Identity::load(one.path()).unwrap_err();
    assert!(matches!(error, LoadError::ForeignCertificate { .. }));

    fs::write(one.path().join(KEY), "no key").unwrap();
    let error = Identity::load(one.path()).unwrap_err();
    assert!(matches!(error, LoadError::Key { .. }));

    fs::write(two.path().join(CHAIN), "no chain").unwrap();
    let error = Identity::load(two.path()).unwrap_err();
    assert!(matches!(error, LoadError::Chain { .. }));

    fs::remove_file(two.path().join(AUTHORITY)).unwrap();
    let error = Identity::load(two.path()).unwrap_err();
    assert!(matches!(error, LoadError::Read { .. }));
}

#[test]
fn a_key_signs_what_the_node_id_verifies() {
    use model::{
        Ballot, BlockHash, Boot, Domain, Height, MembershipHash, Signatures as _, Statement,
    };
    let key = NodeKey::from_pem(&NodeKey::generate().unwrap().to_pem()).unwrap();
    let statement = Statement {
        domain: Domain::Accepted,
        chain: CHAIN_ID,
        membership: MembershipHash([1; 32]),
        height: Height(3),
        ballot: Ballot {
            k: 1,
            node: key.node(),
            boot: Boot(1),
        },
        hash: BlockHash([2; 32]),
    };
    let signature = key.signatures().sign(&statement);
    assert!(model::Ed25519::verify_with(
        key.node(),
        &statement,
        &signature
    ));
}

#[test]
fn members_see_each_others_keys() {
    let ca = create_ca(CHAIN_ID).unwrap();
    let (one, two) = (identity(&ca, "n1"), identity(&ca, "n2"));
    let (client, server) = shake_hands(&one, two.node(), &two).unwrap();
    let seen =
        |certificates: Option<&[CertificateDer<'_>]>| tls::node_of(&certificates.unwrap()[0]);
    assert_eq!(seen(client.peer_certificates()), Some(two.node()));
    assert_eq!(seen(server.peer_certificates()), Some(one.node()));
    assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
}

#[test]
fn nobody_else_is_taken_for_the_node_that_is_called() {
    let ca = create_ca(CHAIN_ID).unwrap();
    let (one, two, other) = (
        identity(&ca, "n1"),
        identity(&ca, "n2"),
        identity(&ca, "n3"),
    );
    let refused =
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
    let answered_by_another = shake_hands(&one, two.node(), &other);
    assert_eq!(answered_by_another.err(), Some(refused));
}

#[test]
fn a_certificate_signed_by_its_own_key_is_enough_for_peers() {
    let ca = create_ca(CHAIN_ID).unwrap();
    let member = identity(&ca, "n1");
    let key = NodeKey::generate().unwrap();
    let newcomer = Identity::self_issued(CHAIN_ID, key, "n2", ca.certificate_pem()).unwrap();
    assert!(shake_hands(&newcomer, member.node(), &member).is_ok());
    assert!(shake_hands(&member, newcomer.node(), &newcomer).is_ok());
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("identity");
    newcomer.save(&folder).unwrap();
    assert_eq!(Identity::load(&folder).unwrap().node(), newcomer.node());
}

#[test]
fn a_members_certificate_without_its_key_is_refused() {
    let ca = create_ca(CHAIN_ID).unwrap();
    let (one, two, thief) = (
        identity(&ca, "n1"),
        identity(&ca, "n2"),
        identity(&ca, "n3"),
    );
    let key = PrivateKeyDer::Pkcs8(thief.key().pkcs8());
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let stolen = CertifiedKey::new(vec![one.certificate().clone()], key);

    let mut config = ClientConfig::clone(&thief.client_config(two.node()).unwrap());
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(stolen.clone()));
    let server = two.server_config().unwrap();
    let error = shake(config.into(), server).err();
    assert_eq!(error, Some(CertificateError::BadSignature.into()));

    let mut config = ServerConfig::clone(&thief.server_config().unwrap());
    config.cert_resolver = Arc::new(SingleCertAndKey::from(stolen));
    let client = two.client_config(one.node()).unwrap();
    let error = shake(client, config.into()).err();
    assert_eq!(error, Some(CertificateError::BadSignature.into()));
}

#[test]
fn an_authority_is_taken_up_again() {
    let ca = create_ca(CHAIN_ID).unwrap();
    let again = Ca::from_pem(CHAIN_ID, ca.certificate_pem(), &ca.key_pem()).unwrap();
    assert_eq!(again.certificate_pem(), ca.certificate_pem());
    verify_https(&ca, &again.issue_https(&names()).unwrap());
}

#[test]
fn https_clients_that_trust_the_authority_accept_its_certificates() {
    let ca = create_ca(CHAIN_ID).unwrap();
    verify_https(&ca, &ca.issue_https(&names()).unwrap());
    let error = ca.issue_https(&["not a näme".to_owned()]);
    assert!(matches!(error, Err(IssueError::Name { .. })));
}

fn names() -> Vec<String> {
    ["localhost", "127.0.0.1", "::1", "nas.local"]
        .map(str::to_owned)
        .into()
}

/// What a browser would check.
fn verify_https(ca: &Ca, https: &HttpsCertificate) {
    use rustls::client::WebPkiServerVerifier;
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(ca.certificate_pem())).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .unwrap();
    let certificate = der(&https.certificate_pem);
    for name in names() {
        let name = ServerName::try_from(name).unwrap();
        verifier
            .verify_server_cert(&certificate, &[], &name, &[], UnixTime::now())
            .unwrap();
    }
    PrivateKeyDer::from_pem_slice(https.key_pem.as_bytes()).unwrap();
}
