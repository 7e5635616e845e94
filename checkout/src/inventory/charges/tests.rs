use super::*;
use crate::inventory::money::Money;
use crate::inventory::price_line::PriceLine;
use crate::inventory::seat_price::TicketType;
use proptest::prelude::*;
use std::sync::Arc;

fn percent(text: &str) -> Percent {
    Percent::parse(text).unwrap()
}

fn currency(code: &str) -> Currency {
    Currency::parse(code).unwrap()
}

/// Returns seats of these categories with these prices. A category may be followed by a ticket type.
fn seats(currency: Currency, of: &[(&str, i64, usize)]) -> Vec<SeatPrice> {
    let mut seats = Vec::new();
    for (name, amount, count) in of {
        let (category, ticket_type) = name.split_once(' ').unwrap_or((name, ""));
        let ticket_type = (!ticket_type.is_empty()).then(|| {
            Arc::new(TicketType {
                id: ticket_type.to_owned(),
                name: ticket_type.to_owned(),
            })
        });
        for at in 0..*count {
            seats.push(SeatPrice {
                label: "".into(),
                id: format!("{name}-{at}").into(),
                category: category.into(),
                ticket_type: ticket_type.clone(),
                price: Money {
                    amount: *amount,
                    currency,
                },
            });
        }
    }
    seats
}

fn fee(per: FeePer, amount: i64) -> Fee {
    Fee {
        name: "Fee".to_owned(),
        per,
        amount: Some(amount),
        percent: None,
    }
}

fn share(per: FeePer, text: &str) -> Fee {
    Fee {
        amount: None,
        percent: Some(percent(text)),
        ..fee(per, 0)
    }
}

fn tax(text: &str, included: bool) -> Tax {
    Tax {
        name: "Tax".to_owned(),
        percent: percent(text),
        included,
        on: tickets_and_fees(),
    }
}

/// Returns the kind, quantity and unit of each line.
fn shown(lines: &[ChargeLine]) -> Vec<(LineKind, u32, i64)> {
    let show = |line: &ChargeLine| (line.kind, line.quantity, line.unit);
    lines.iter().map(show).collect()
}

#[test]
fn a_percentage_is_a_number_of_up_to_three_decimals() {
    for (text, written) in [
        ("19", "19"),
        ("8.875", "8.875"),
        ("7.50", "7.5"),
        ("0", "0"),
        ("100.000", "100"),
        ("0.001", "0.001"),
    ] {
        let json = serde_json::to_value(percent(text)).unwrap();
        assert_eq!(json, written);
    }
    for text in [
        "", "101", "100.001", "-1", "+1", "1.", ".5", "1.2345", "1e1", " 1", "1,5",
    ] {
        assert_eq!(Percent::parse(text), None, "{text}");
    }
}

#[test]
fn fees_and_taxes_come_on_top_in_lines_of_their_own_and_an_included_tax_is_not_added() {
    use LineKind::{Fee as F, Tax as T, Ticket};
    let eur = currency("EUR");
    let charges = Charges {
        fees: vec![fee(FeePer::Ticket, 150), share(FeePer::Order, "2.5")],
        taxes: vec![tax("19", true), tax("1", false)],
        order_fee_refund: OrderFeeRefund::LastSeat,
        ..Charges::default()
    };
    let bought = seats(eur, &[("stalls", 4500, 2), ("floor", 2000, 1)]);
    let lines = charges.lines(&bought, eur, str::to_owned);
    let wanted = [
        (Ticket, 2, 4500),
        (Ticket, 1, 2000),
        (F, 2, 150),
        (F, 1, 150),
        // 2.5 % of 110.00
        (F, 1, 275),
        // 1 % of 46.50, 21.50 and 2.75: 0.465, 0.215 and 0.0275, half up
        (T, 2, 47),
        (T, 1, 22),
        (T, 1, 3),
        // 19/119 of the same: 7.4244, 3.4328 and 0.4391
        (T, 2, 742),
        (T, 1, 343),
        (T, 1, 44),
    ];
    assert_eq!(shown(&lines), wanted);
    assert_eq!(total(&lines), 11_000 + 3 * 150 + 275 + 2 * 47 + 22 + 3);
    let lines = Some(Arc::new(lines));
    assert_eq!(seat_total(&lines, &bought[0]), 4500 + 150 + 47);
    assert_eq!(kept(&lines), 0);
}

#[test]
fn amounts_are_rounded_by_the_minor_unit_of_their_currency_half_up() {
    // 7.5 % of 1,010 minor units are 75.75; of 1,000 they are 75, which is half of a step of 10.
    for (code, price, fee) in [
        ("JPY", 1010, 76),
        ("EUR", 1010, 76),
        ("KWD", 1010, 80),
        ("KWD", 1000, 80),
        ("EUR", 20, 2),
        ("EUR", 19, 1),
    ] {
        let charges = Charges {
            fees: vec![share(FeePer::Ticket, "7.5")],
            ..Charges::default()
        };
        let code = currency(code);
        let lines = charges.lines(&seats(code, &[("c", price, 1)]), code, str::to_owned);
        assert_eq!(lines[1].unit, fee, "{code:?} {price}");
    }
}

#[test]
fn what_costs_nothing_bears_no_fee() {
    let eur = currency("EUR");
    let charges = Charges {
        fees: vec![fee(FeePer::Ticket, 150), fee(FeePer::Order, 200)],
        taxes: vec![tax("19", false)],
        order_fee_refund: OrderFeeRefund::Never,
        ..Charges::default()
    };
    let free = charges.lines(&seats(eur, &[("free", 0, 2)]), eur, str::to_owned);
    assert_eq!(shown(&free), [(LineKind::Ticket, 2, 0)]);
    let both = seats(eur, &[("free", 0, 1), ("stalls", 100, 1)]);
    let lines = charges.lines(&both, eur, str::to_owned);
    assert_eq!(total(&lines), 100 + 150 + 48 + 200 + 38);
    assert_eq!(kept(&Some(Arc::new(lines))), 200 + 38);
}

#[test]
fn wrong_fees_and_taxes_are_named() {
    let charges = Charges {
        fees: vec![
            fee(FeePer::Order, 15),
            Fee {
                percent: Some(percent("1")),
                ..fee(FeePer::Order, -10)
            },
            Fee {
                name: " ".to_owned(),
                ..fee(FeePer::Order, 10)
            },
        ],
        taxes: vec![Tax {
            on: vec![Taxed::Fees, Taxed::Fees],
            ..tax("1", true)
        }],
        order_fee_refund: OrderFeeRefund::LastSeat,
        ..Charges::default()
    };
    let wrong = charges.mistakes(currency("KWD"));
    let fields: Vec<&str> = wrong.iter().map(|(field, _)| field.as_str()).collect();
    let wanted = [
        "fees[0].amount",
        "fees[1]",
        "fees[1].amount",
        "fees[2].name",
        "taxes[0].on",
    ];
    assert_eq!(fields, wanted);
    let many = Charges {
        fees: vec![fee(FeePer::Order, 10); 11],
        ..Charges::default()
    };
    assert_eq!(many.mistakes(currency("EUR"))[0].0, "fees");
}

fn any_fee() -> impl Strategy<Value = Fee> {
    let per = prop_oneof![Just(FeePer::Ticket), Just(FeePer::Order)];
    (per, proptest::option::of(0..=WHOLE), 0..50_000_i64).prop_map(|(per, percent, amount)| Fee {
        name: "Fee".to_owned(),
        per,
        amount: percent.is_none().then_some(amount * 10),
        percent: percent.map(Percent),
    })
}

fn any_tax() -> impl Strategy<Value = Tax> {
    let on = proptest::sample::subsequence(tickets_and_fees(), 1..=2);
    (0..=WHOLE, any::<bool>(), on).prop_map(|(percent, included, on)| Tax {
        name: "Tax".to_owned(),
        percent: Percent(percent),
        included,
        on,
    })
}

prop_compose! {
    fn any_charges()(
        fees in proptest::collection::vec(any_fee(), 0..4),
        taxes in proptest::collection::vec(any_tax(), 0..4),
        is_kept in any::<bool>(),
    ) -> Charges {
        let order_fee_refund = if is_kept { OrderFeeRefund::Never } else { OrderFeeRefund::LastSeat };
        Charges { fees, taxes, order_fee_refund, ..Charges::default() }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn lines_add_up_to_the_total_and_refunds_of_single_seats_to_what_was_paid(
        charges in any_charges(),
        code in proptest::sample::select(vec!["JPY", "EUR", "KWD"]),
        prices in proptest::collection::vec((0..1_000_000_i64, 1..5_usize), 1..6),
    ) {
        let code = currency(code);
        let step = code.step();
        let names = ["a", "a child", "b student", "b", "a student"];
        let of: Vec<(&str, i64, usize)> = names.into_iter().zip(&prices)
            .map(|(name, (price, count))| (name, price * step, *count)).collect();
        let seats = seats(code, &of);
        let lines = charges.lines(&seats, code, str::to_owned);
        let paid = total(&lines);
        let prices: i64 = seats.iter().map(|seat| seat.price.amount).sum();
        prop_assert!(paid >= prices);
        prop_assert!(lines.iter().all(|line| line.unit >= 0 && line.unit % step == 0));
        let shown: Vec<PriceLine> = lines.iter().map(|line| line.show(code)).collect();
        let added = shown.iter().filter(|line| !line.included);
        prop_assert_eq!(added.map(|line| line.amount.amount).sum::<i64>(), paid);
        let contained = shown.iter().filter(|line| line.included);
        let (contained, rounded) = contained.fold((0, 0), |(sum, rounded), line| {
            (sum + line.amount.amount, rounded + step * i64::from(line.quantity))
        });
        prop_assert!(contained <= paid + rounded, "taxes are contained in what they are on");
        let lines = Some(Arc::new(lines));
        let own: i64 = seats.iter().map(|seat| seat_total(&lines, seat)).sum();
        let kept = kept(&lines);
        let of_order: i64 = lines.iter().flat_map(|lines| lines.iter())
            .filter(|line| line.category.is_none() && !line.included).map(ChargeLine::amount).sum();
        prop_assert_eq!(own + of_order, paid);
        prop_assert!(kept == 0 || kept == of_order);
        // All seats but the last for their own, the last with the rest.
        prop_assert!(paid - kept - own >= 0);
    }
}
