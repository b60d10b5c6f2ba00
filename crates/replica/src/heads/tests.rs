use model::{Ballot, Boot, ChainId, Draft, Header, Member, Membership, Nonce, Timestamp, Turn};

use super::*;

const PEER: NodeId = NodeId([9; 32]);

fn chain(length: u64, forks_at: u64) -> Vec<Arc<Block>> {
    let member = Member {
        id: NodeId([1; 32]),
        name: "n1".to_owned(),
    };
    let voters = Membership::new(vec![member]).unwrap();
    let time = Timestamp(1_700_000_000_000_000);
    let command = model::SealedCommand::new([0; 16], Vec::new().into());
    let genesis = Block::genesis(ChainId([1; 16]), &voters, time, command);
    let mut blocks = vec![Arc::new(genesis)];
    for height in 1..=length {
        let parent = blocks.last().unwrap().header().clone();
        blocks.push(child(&parent, u64::from(height >= forks_at)));
    }
    blocks
}

fn child(parent: &Header, later: u64) -> Arc<Block> {
    Arc::new(Block::new(Draft {
        chain: parent.chain,
        height: parent.height.next(),
        parent: Some(parent.hash()),
        membership: parent.membership,
        proposer: Turn {
            node: NodeId([1; 32]),
            boot: Boot(1),
        },
        time: Timestamp(parent.time.0 + 1 + later),
        hint: None,
        commands: Vec::new(),
    }))
}

fn beacon(block: &Block) -> Message {
    Message::Beacon(consensus::Beacon {
        boot: Boot(1),
        nonce: Nonce([0; 16]),
        tip: block.height(),
        durable_tip: block.height(),
        head: block.hash(),
        membership: block.header().membership,
        clock: Timestamp(0),
        has_work: false,
        yielding: false,
    })
}

fn decide(block: &Arc<Block>) -> Message {
    let certificate = Certificate {
        height: block.height(),
        ballot: Ballot::NONE,
        hash: block.hash(),
        voters: 0,
        signatures: Vec::new(),
    };
    Message::Decide {
        block: Arc::clone(block),
        certificate,
    }
}

/// Lets a node compare itself with a peer; the lowest height that differs, and how often the peer was asked.
fn compare(own: &[Arc<Block>], other: &[Arc<Block>], tip: usize) -> (Option<Height>, usize) {
    let mut heads = Heads::default();
    let ours = |height: Height| {
        own.get(usize::try_from(height.0).unwrap())
            .map(|b| b.hash())
    };
    let mut asked = 0;
    for second in 1..60 {
        let now = Instant(second * 2_000_000_000);
        let mut step = heads.hear(PEER, &beacon(&other[tip]), ours, now);
        while let Some(Comparison::Ask(from)) = step.take() {
            asked += 1;
            let from = usize::try_from(from.0).unwrap();
            for block in other.iter().skip(from).take(5) {
                match heads.hear(PEER, &decide(block), ours, now) {
                    Some(Comparison::Differs { block, .. }) => {
                        return (Some(block.height()), asked);
                    }
                    next => step = next.or(step),
                }
            }
        }
    }
    (None, asked)
}

#[test]
fn the_lowest_height_that_differs_is_found_with_few_questions() {
    let own = chain(200, u64::MAX);
    for (forks_at, tip) in [
        (1, 1),
        (1, 200),
        (77, 77),
        (77, 150),
        (200, 200),
        (150, 199),
    ] {
        let other = chain(200, forks_at);
        let (found, asked) = compare(&own, &other, tip);
        assert_eq!(found, Some(Height(forks_at)), "with the tip {tip}");
        assert!(asked <= 10, "{asked} questions for {forks_at}");
    }
}

#[test]
fn one_history_asks_nothing() {
    let own = chain(20, u64::MAX);
    assert_eq!(compare(&own, &own, 20), (None, 0));
    assert_eq!(compare(&own[..10], &own, 20), (None, 0), "it is higher");
}
