//! DynamoDB's typed attributes as plain JSON.

use serde_json::{Map, Value};

/// Converts an item (`{"pk": {"S": "x"}}`) to plain JSON (`{"pk": "x"}`).
///
/// Numbers are exact: a number with too many digits for JSON becomes a string. Sets become sorted
/// arrays, because DynamoDB gives sets no order. Binary values are base64, as in the item.
pub fn plain_item(item: &Value) -> Value {
    let plain = |(name, value): (&String, &Value)| (name.clone(), plain_attribute(value));
    Value::Object(item.as_object().map(|item| item.iter().map(plain).collect()).unwrap_or_default())
}

fn plain_attribute(attribute: &Value) -> Value {
    let Some((kind, value)) = attribute.as_object().and_then(|one| one.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        "NULL" => Value::Null,
        "N" => number(value),
        "M" => plain_item(value),
        "L" => Value::Array(
            value.as_array().map(|list| list.iter().map(plain_attribute).collect()).unwrap_or_default(),
        ),
        "SS" | "BS" => set(value, Clone::clone),
        "NS" => set(value, number),
        "S" | "B" | "BOOL" => value.clone(),
        // An attribute of an unknown type is returned as the emulator sent it.
        _ => Value::Object(Map::from_iter([(kind.clone(), value.clone())])),
    }
}

fn number(text: &Value) -> Value {
    let exact = text.as_str().and_then(|text| {
        let number: serde_json::Number = text.parse().ok()?;
        (number.to_string() == text).then_some(number)
    });
    exact.map_or_else(|| text.clone(), Value::Number)
}

fn set(values: &Value, plain: fn(&Value) -> Value) -> Value {
    let mut values: Vec<Value> =
        values.as_array().map(|set| set.iter().map(plain).collect()).unwrap_or_default();
    values.sort_by_key(Value::to_string);
    Value::Array(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn attributes_of_every_type_become_plain_json() {
        let item = json!({
            "pk": {"S": "APP#web"}, "pin": {"N": "42"}, "share": {"N": "0.2"}, "held": {"BOOL": false},
            "big": {"N": "12345678901234567890123456789012345678"},
            "nothing": {"NULL": true}, "tags": {"SS": ["b", "a"]}, "sizes": {"NS": ["2", "1"]},
            "live": {"L": [{"S": "x"}, {"M": {"n": {"N": "-1"}}}]}, "raw": {"B": "AAE="}
        });
        assert_eq!(
            plain_item(&item),
            json!({
                "pk": "APP#web", "pin": 42, "share": 0.2, "held": false,
                "big": "12345678901234567890123456789012345678",
                "nothing": null, "tags": ["a", "b"], "sizes": [1, 2],
                "live": ["x", {"n": -1}], "raw": "AAE="
            })
        );
    }
}
