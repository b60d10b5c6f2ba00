//! A member that signs two things at once.

use model::{
    Ballot, BlockHash, Boot, Decided, Decode as _, Domain, Ed25519, Evidence, Header,
    Signatures as _, Statement,
};
use serde_json::Value;

use super::Node;
use crate::identity::Identity;
use crate::init::HttpSecurity;
use crate::peer::intruder;
use consensus::Message;

/// The member's folder, whose node does not run any more.
async fn stolen(node: Node) -> Identity {
    let config = node.config();
    node.stop().await;
    Identity::load(&config.identity_folder()).unwrap()
}

/// Two accepteds for two blocks above `tip` that nobody has proposed.
fn contradiction(key: &Ed25519, tip: &Header) -> [Message; 2] {
    let ballot = Ballot {
        k: 2,
        node: key.node(),
        boot: Boot(1),
    };
    [1, 2].map(|block| {
        let statement = Statement {
            domain: Domain::Accepted,
            chain: tip.chain,
            membership: tip.membership,
            height: tip.height.next(),
            ballot,
            hash: BlockHash([block; 32]),
        };
        Message::Accepted {
            height: statement.height,
            ballot,
            hash: statement.hash,
            signature: key.sign(&statement),
        }
    })
}

async fn tip(node: &Node) -> Header {
    let head = node.get_json("/api/v1/ledger/head").await;
    let path = format!("/api/v1/ledger/blocks/{}", head["height"]);
    let block = node.call(reqwest::Method::GET, &path);
    let block = block.header("accept", "application/octet-stream");
    let bytes = block.send().await.unwrap().bytes().await.unwrap();
    let decided = Decided::from_bytes(&bytes).unwrap();
    decided.block.header().clone()
}

async fn accused(node: &Node) -> Value {
    loop {
        let cluster = node.get_json("/api/v1/cluster").await;
        if let Some(first) = cluster["evidence"].get(0) {
            return first.clone();
        }
    }
}

#[tokio::test]
async fn two_signatures_that_contradict_each_other_are_kept_and_name_the_node() {
    let mut nodes = Node::cluster(3, HttpSecurity::Plain).await;
    let liar = stolen(nodes.pop().unwrap()).await;
    let node = &nodes[0];
    let config = node.config();
    let lies = contradiction(&liar.key().signatures(), &tip(node).await);
    let address = config.peer.address.to_string();
    intruder::say(&liar, config.me().id, &address, &lies).await;

    let accused = accused(node).await;
    assert_eq!(accused["node"], "n3");
    assert_eq!(accused["id"], liar.node().to_string());
    assert_eq!(accused["statement"], "accepted");
    let file = config
        .folder
        .join("evidence")
        .join(accused["file"].as_str().unwrap());
    while !file.exists() {
        tokio::task::yield_now().await;
    }
    let evidence = Evidence::from_bytes(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(evidence.verify(&Ed25519::new(&[0; 32])), Ok(()));
    let metrics = node.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("starling_evidence 1\n"), "{metrics}");
}
