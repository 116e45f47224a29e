"""Yonyou YonBIP as a stand-in: signed token call, lists of header × body rows, pubts as row stamp."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from tests.standins.server import Answer, Request, StandIn

APP_KEY, APP_SECRET, TENANT = "yb-key", "yb-secret-4242", "tenant1"
TOKEN_SECONDS = 7200
PAGE_LIMIT, CUSTOMER_PAGE_LIMIT = 500, 5000
RECEIVABLE, COLLECTION = "/yonbip/EFI/receivable/list", "/yonbip/EFI/collection/list"
REFUND, VERIFY = "/yonbip/EFI/arRefund/list", "/yonbip/fi/arverify/list"
CUSTOMERS = "/yonbip/digitalModel/merchant/newlist"
CALLS_A_MINUTE = 60_000
# 事项类型 of a verification row: which kind of document stands there.
BILL_TYPES = {"invoice": 1, "red_invoice": 3, "receipt": 7, "refund": 9}

Record = dict[str, Any]


@dataclass
class Document:
    """A document: header fields and body lines; a row of a list is header × line."""

    head: Record
    lines: list[Record]


class YonBIP(StandIn):
    """One tenant. Switches choose between behaviours that the documents leave open or contradict."""

    def __init__(
        self,
        *,
        code_type: Literal["string", "number"] = "string",
        bad_token: Literal["json", "text", "999"] = "json",
        red_amounts: Literal["negative", "positive"] = "negative",
        order: Literal["pubts_desc", "id"] = "pubts_desc",
        bill_ids: Literal["text", "number", "rounded"] = "text",
        currency: Literal["name", "code"] = "name",
        with_due_date: bool = False,
    ) -> None:
        super().__init__()
        self.code_type = code_type
        self.bad_token = bad_token
        self.red_amounts = red_amounts
        self.order = order
        self.bill_ids = bill_ids
        self.currency = currency
        self.with_due_date = with_due_date
        self.lists: dict[str, dict[str, Document]] = defaultdict(dict)
        self.customers: dict[str, Record] = {}
        self.now = datetime.fromisoformat("2026-03-02 09:00")
        self.calls_a_minute = CALLS_A_MINUTE
        self._ids = itertools.count(1633116225909817351)
        self._tokens: dict[str, float] = {}
        self._call_times: deque[float] = deque()

    # --- the tenant ---

    def tick(self, **by: float) -> None:
        self.now += timedelta(**by)

    def customer(self, name: str, *, key: str | None = None, **fields: Any) -> str:
        key = key or str(next(self._ids))
        old = self.customers.get(key, {"createTime": self._stamp()})
        self.customers[key] = {
            **old, "id": int(key), "code": f"C{key[-4:]}",
            "name": {"simplifiedName": name, "englishName": None},
            "customerClassCode": "01", "stopStatus": False, "modifyTime": self._stamp(), **fields,
        }  # fmt: skip
        return key

    def put(
        self,
        path: str,
        *,
        key: str | None = None,
        customer: str,
        day: date,
        amounts: list[Decimal],
        currency: str = "CNY",
        red: bool = False,
        due: date | None = None,
        rate: Decimal | None = None,
        **fields: Any,
    ) -> str:
        """Save a document, or change the one whose key is given; returns the key."""
        key = key or str(next(self._ids))
        old = self.lists[path].get(key)
        sign = -1 if red and self.red_amounts == "negative" else 1
        head: Record = dict(old.head) if old else {
            "id": key, "code": f"{path.split('/')[-2][:4].upper()}{key[-6:]}", "verifyState": 2,
            "effectState": "1", "writeOffState": "0", "blnWriteOff": 0, "createTime": self._stamp(),
        }  # fmt: skip
        head |= {
            "billDate": f"{day} 00:00:00", "direction": "-1" if red else "1", "modifyTime": self._stamp(),
            "pubts": self._stamp(), **fields,
        }  # fmt: skip
        names = {"CNY": "人民币", "USD": "美元", "EUR": "欧元"}
        line = {
            "bodyItemCustomer": customer, "bodyItemObjectType": "1",
            "bodyItemExchangeRate": float(rate) if rate is not None else 1,
            "bodyItemOriCurrency": f"id-of-{currency}", "bodyItemPubts": self._stamp(),
        }  # fmt: skip
        if self.currency == "name":
            line["bodyItemOriCurrencyName"] = names[currency]
        else:
            line["bodyItemOriCurrencyCode"] = currency
        if due is not None and self.with_due_date:
            line["bodyItemDueDate"] = f"{due} 00:00:00"
        lines = [
            {**line, "bodyItemId": f"{key}-{number}", "bodyItemOriTaxIncludedAmount": float(sign * amount)}
            for number, amount in enumerate(amounts)
        ]
        self.lists[path][key] = Document(head, lines)
        return key

    def touch(self, path: str, key: str, **fields: Any) -> None:
        """Change header fields: un-approve (verifyState=0), approve again (verifyState=2)."""
        document = self.lists[path][key]
        document.head |= {**fields, "pubts": self._stamp(), "modifyTime": self._stamp()}

    def delete(self, path: str, key: str) -> None:
        del self.lists[path][key]

    def verify(self, sides: list[tuple[str, str, str, Decimal]], day: date) -> str:
        """核销: sides of (kind, path, document, amount); debit sides and credit sides add up to the same."""
        key = str(next(self._ids))
        lines = []
        for kind, path, document, amount in sides:
            head = self.lists[path][document].head
            shown: Any = document
            if self.bill_ids != "text":
                # JavaScript between the database and the caller keeps 16 digits.
                shown = int(document) if self.bill_ids == "number" else int(float(document)) // 1000 * 1000
            lines.append(
                {
                    "billid": shown, "billno": head["code"], "billamount": float(amount),
                    "billtype": BILL_TYPES[kind], "billdate": head["billDate"],
                }
            )  # fmt: skip
        head = {
            "id": key, "code": f"HX{key[-8:]}", "vouchdate": f"{day} 00:00:00", "pubts": self._stamp(),
            "voucherstatus": 2, "createTime": self._stamp(),
        }  # fmt: skip
        self.lists[VERIFY][key] = Document(head, lines)
        return key

    def _stamp(self) -> str:
        return f"{self.now:%Y-%m-%d %H:%M:%S}"

    # --- the protocol ---

    def answer(self, request: Request) -> Answer:
        if request.path == "/open-auth/dataCenter/getGatewayAddress":
            if request.query.get("tenantId") != TENANT:
                return self.error("500", "租户不存在")
            data = {"tokenUrl": f"{self.url}/iuap-api-auth", "gatewayUrl": f"{self.url}/iuap-api-gateway"}
            return Answer({"code": "00000", "message": "成功！", "data": data})
        if request.path == "/iuap-api-auth/open-auth/selfAppAuth/base/v1/getAccessToken":
            return self._token(request)
        path = request.path.removeprefix("/iuap-api-gateway")
        if path not in {RECEIVABLE, COLLECTION, REFUND, VERIFY, CUSTOMERS}:
            return Answer({"code": "310404", "message": "API不存在"}, 404)
        token = request.query.get("access_token")
        if not token:
            return self.error("310001", "access_token不能为空")
        if self.clock - self._tokens.get(token, 0) > TOKEN_SECONDS:
            return self.illegal_token()
        if self._is_over():
            return self.error("310032", "访问频率超过限制")
        return self._customers(request.body) if path == CUSTOMERS else self._list(path, request.body)

    def error(self, code: str, message: str) -> Answer:
        return Answer({"code": code if self.code_type == "string" else int(code), "message": message})

    def illegal_token(self) -> Answer:
        if self.bad_token == "text":
            return Answer("非法token", 200, "text/plain")
        return self.error("310036" if self.bad_token == "json" else "999", "非法token")

    def expire_tokens(self) -> None:
        self._tokens.clear()

    def _is_over(self) -> bool:
        while self._call_times and self._call_times[0] <= self.clock - 60:
            self._call_times.popleft()
        if len(self._call_times) >= self.calls_a_minute:
            return True
        self._call_times.append(self.clock)
        return False

    def _token(self, request: Request) -> Answer:
        text = f"appKey{request.query.get('appKey')}timestamp{request.query.get('timestamp')}"
        digest = hmac.new(APP_SECRET.encode(), text.encode(), hashlib.sha256).digest()
        if request.query.get("appKey") != APP_KEY:
            return self.error("10018", "应用不存在或appKey已停用")
        if request.query.get("signature") != base64.b64encode(digest).decode():
            return self.error("10019", "签名错误")
        token = f"yb-token-{len(self._tokens) + 1}-{next(self._ids)}+/="
        self._tokens[token] = self.clock
        return Answer({"code": "00000", "message": "成功！", "data": {"access_token": token, "expire": 7200}})

    def _ok(self, data: Any) -> Answer:
        return Answer(
            {"code": "200" if self.code_type == "string" else 200, "message": "操作成功", "data": data}
        )

    def _customers(self, body: Record) -> Answer:
        index, size = int(body.get("pageIndex", 1)), int(body.get("pageSize", 500))
        if size > CUSTOMER_PAGE_LIMIT:
            return self.error("999", "pageSize超过5000")
        since = body.get("pubts") or ""
        rows = [row for row in self.customers.values() if row["modifyTime"] >= since]
        return self._ok(rows[(index - 1) * size : index * size])

    def _list(self, path: str, body: Record) -> Answer:
        index, size = int(body["pageIndex"]), int(body["pageSize"])
        if size > PAGE_LIMIT:
            return self.error("999", "pageSize超过500")
        window = body if path == VERIFY else body.get("simple") or {}
        begin, end = window.get("open_pubts_begin") or "", window.get("open_pubts_end") or "9"
        states = [str(state) for state in body.get("verifyState") or ()]
        documents = [
            document
            for document in self.lists[path].values()
            if begin <= document.head["pubts"] <= end
            and (not states or str(document.head["verifyState"]) in states)
            and body.get("direction") in {None, document.head.get("direction")}
        ]
        if self.order == "pubts_desc":
            documents.sort(key=lambda document: (document.head["pubts"], document.head["id"]), reverse=True)
        rows = [{**document.head, **line} for document in documents for line in document.lines]
        return self._ok(
            {
                "pageIndex": index,
                "pageSize": size,
                "recordCount": len(rows),
                "pageCount": -(-len(rows) // size),
                "recordList": rows[(index - 1) * size : index * size],
            }
        )


def is_list(path: str, *, page: int | None = None) -> Any:
    """Picks the calls of one list; with `page`, only of that page."""

    def matches(request: Request) -> bool:
        if not request.path.endswith(path):
            return False
        return page is None or int(request.body.get("pageIndex", 1)) == page

    return matches
