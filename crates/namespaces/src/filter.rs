//! Programs for the kernel's packet filter, in the classic notation that `tc` takes: the number of instructions, then
//! each as its code, two jump distances and a value.
//!
//! A queueing discipline of its own for lost packets (netem) is not in every kernel; this filter is nearly everywhere,
//! and draws random numbers too. It runs as a classifier at a port of the bridge and says what becomes of a packet.

use std::net::Ipv4Addr;

/// Reads the two bytes at a place.
const LOAD_HALF: u16 = 40;
/// Reads the four bytes at a place.
const LOAD_WORD: u16 = 32;
/// Jumps if what was read is the value.
const IF_EQUAL: u16 = 21;
/// Jumps if what was read is more than the value.
const IF_MORE: u16 = 37;
/// Ends with a verdict.
const RETURN: u16 = 6;

const ETHER_TYPE_AT: u32 = 12;
const IP_VERSION_4: u32 = 0x0800;
const IP_SOURCE_AT: u32 = 26;
/// Where a random word is read: SKF_AD_OFF + SKF_AD_RANDOM.
const RANDOM_AT: u32 = (-0x1000_i32 + 56).cast_unsigned();

/// TC_ACT_OK.
const PASS: u32 = 0;
/// TC_ACT_SHOT.
const DROP: u32 = 2;

struct Instruction(u16, u8, u8, u32);

/// Every packet passes.
pub(crate) fn pass_all() -> String {
    text(&[Instruction(RETURN, 0, 0, PASS)])
}

/// None does, whatever its protocol.
pub(crate) fn drop_all() -> String {
    text(&[Instruction(RETURN, 0, 0, DROP)])
}

/// Of the packets from each of these addresses so many per cent are lost. Others pass.
pub(crate) fn losing(losses: &[(Ipv4Addr, u8)]) -> String {
    let rules: Vec<Instruction> = losses
        .iter()
        .flat_map(|(source, percent)| rule(*source, *percent))
        .collect();
    let behind = u8::try_from(rules.len()).expect("a few rules of six instructions");
    let mut program = vec![
        Instruction(LOAD_HALF, 0, 0, ETHER_TYPE_AT),
        Instruction(IF_EQUAL, 0, behind, IP_VERSION_4),
    ];
    program.extend(rules);
    program.push(Instruction(RETURN, 0, 0, PASS));
    text(&program)
}

/// Goes on behind itself if the packet comes from elsewhere.
fn rule(source: Ipv4Addr, percent: u8) -> [Instruction; 6] {
    let limit = u64::from(u32::MAX) * u64::from(percent) / 100;
    [
        Instruction(LOAD_WORD, 0, 0, IP_SOURCE_AT),
        Instruction(IF_EQUAL, 0, 4, source.to_bits()),
        Instruction(LOAD_WORD, 0, 0, RANDOM_AT),
        Instruction(
            IF_MORE,
            1,
            0,
            u32::try_from(limit).expect("at most the largest"),
        ),
        Instruction(RETURN, 0, 0, if percent == 0 { PASS } else { DROP }),
        Instruction(RETURN, 0, 0, PASS),
    ]
}

fn text(program: &[Instruction]) -> String {
    let mut parts = vec![program.len().to_string()];
    parts.extend(
        program
            .iter()
            .map(|Instruction(code, yes, no, value)| format!("{code} {yes} {no} {value}")),
    );
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_begins_with_its_length() {
        assert_eq!(drop_all(), "1,6 0 0 2");
        assert_eq!(losing(&[]), "3,40 0 0 12,21 0 0 2048,6 0 0 0");
    }

    #[test]
    fn a_rule_drops_one_sender_s_packets_below_the_drawn_limit() {
        let program = losing(&[(Ipv4Addr::new(198, 18, 77, 1), 30)]);
        assert_eq!(
            program,
            "9,40 0 0 12,21 0 6 2048,\
             32 0 0 26,21 0 4 3323088129,32 0 0 4294963256,37 1 0 1288490188,6 0 0 2,6 0 0 0,\
             6 0 0 0"
        );
    }
}
